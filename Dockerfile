# API, worker and migration in one image; the command chooses which. docs/runbooks/compose.md says how it is run.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional are the embedded PostgreSQL, which only standalone starts, and Prisma's command line, an optional peer of its
# client that npm would keep: 300 MB of which API and worker load nothing. A dependency that has its native binary in an
# optional package will need that package as a dependency of our own. Of the client's query compilers, one is loaded.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
  && cd node_modules/@prisma/client/runtime \
  && rm -f *.cockroachdb.* *.mysql.* *.sqlite.* *.sqlserver.*

FROM node:24-bookworm-slim
# Of an arena for each thread that ever allocated, much stays unused for good: some 20 MB of a busy worker.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 MALLOC_ARENA_MAX=2
WORKDIR /app
# Compose puts volumes here; a new named volume takes over owner and mode.
RUN install -d -o node -g node -m 0700 /var/lib/posthorn/keys \
  && install -d -o node -g node /var/lib/posthorn/database
COPY package.json ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY prisma/migrations ./prisma/migrations
COPY --from=build /app/dist ./dist
USER node
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Neither a shell nor npm in between: signals reach the process that settles what is in flight.
ENTRYPOINT ["node"]
CMD ["dist/apps/api/src/main.js"]
