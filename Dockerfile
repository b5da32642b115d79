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
# Optional packages are the embedded PostgreSQL, which a container never starts, and Prisma's command line, which npm keeps
# without this because the client names it as an optional peer: 250 MB of which API and worker load nothing. A
# dependency whose native binary is an optional package has to be installed by name here.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
# For the volume that Compose keeps generated keys in: a new named volume takes over owner and mode.
RUN install -d -o node -g node -m 0700 /var/lib/posthorn
COPY package.json ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY prisma/migrations ./prisma/migrations
COPY --from=build /app/dist ./dist
USER node
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm in between: signals reach the process that settles what is in flight.
ENTRYPOINT ["node"]
CMD ["dist/apps/api/src/main.js"]
