// Lets plain Node load the TypeScript sources, as Jest does by its own configuration: `#adapters/x.js` is found by the
// condition `posthorn-source`, and `./x.js` beside a source is `./x.ts`. Node strips the types; it does not compile, so
// what is loaded this way has no decorators, enums or parameter properties.
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier.startsWith('#')) {
      return nextResolve(specifier, { ...context, conditions: [...context.conditions, 'posthorn-source'] });
    }
    if (/^\.\.?\/.*\.js$/.test(specifier) && context.parentURL?.endsWith('.ts')) {
      const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
      if (existsSync(fileURLToPath(source))) return nextResolve(source.href, context);
    }
    return nextResolve(specifier, context);
  },
});
