import { Injectable } from '@nestjs/common';

interface Route {
  readonly url: string;
  readonly pattern: RegExp;
  readonly methods: readonly string[];
}

/** Which methods each path takes, to tell a wrong method from a wrong path. */
@Injectable()
export class RouteTable {
  readonly #routes: Route[] = [];

  /** @param url a route's path with `:name` for parameters, as Fastify has it */
  add(url: string, methods: string | readonly string[]): void {
    const pattern = url
      .split('/')
      .map((segment) => (segment.startsWith(':') ? '[^/]+' : escapeRegExp(segment)))
      .join('/');
    this.#routes.push({ url, pattern: new RegExp(`^${pattern}$`), methods: [methods].flat() });
  }

  /** Every method and path, as `GET /v1/merchants/:id`. */
  all(): string[] {
    return this.#routes.flatMap(({ url, methods }) => methods.map((method) => `${method} ${url}`));
  }

  /** The methods that the path of a request target takes, sorted; empty when there is no such path. */
  methodsOf(target: string): string[] {
    const path = target.split('?', 1)[0] ?? '';
    const methods = this.#routes
      .filter(({ pattern }) => pattern.test(path))
      .flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
