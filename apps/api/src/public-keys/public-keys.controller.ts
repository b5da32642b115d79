import { Controller, Get, Header, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import { livePublicKeys } from '#adapters/postgres/endpoint-secrets.js';
import { publicJwk } from '#domain/signing-pair.js';
import { MicroBatch } from '#pipeline/micro-batch.js';
import { Public } from '../auth/decorators.js';
import { Operation } from '../openapi/operation.js';
import { DATABASE } from '../tokens.js';

const keySet = z
  .object({
    keys: z.array(
      z.object({
        kty: z.literal('OKP'),
        crv: z.literal('Ed25519'),
        x: z.string(),
        kid: z.string().meta({ description: "The key's thumbprint (RFC 7638)." }),
        use: z.literal('sig'),
        alg: z.literal('EdDSA'),
      }),
    ),
  })
  .meta({ id: 'PublicKeys' });
type KeySet = z.infer<typeof keySet>;

/** One statement at a time serves everybody who asks while it is under way: nobody needs a key to ask. */
const READERS_PER_STATEMENT_MAX = 10_000;

@ApiTags('Public keys')
@Public()
@Controller('.well-known')
export class PublicKeysController {
  readonly #reads: MicroBatch<null, KeySet>;

  constructor(@Inject(DATABASE) database: Database) {
    this.#reads = new MicroBatch({
      run: async (readers) => {
        const keys = (await livePublicKeys(database)).map(publicJwk);
        return readers.map(() => ({ keys }));
      },
      itemsMax: READERS_PER_STATEMENT_MAX,
      runsMax: 1,
    });
  }

  @Get('jwks.json')
  @Header('cache-control', 'public, max-age=60')
  @Operation({
    id: 'getPublicKeys',
    summary: 'Public keys of all webhooks that are signed with Ed25519',
    description:
      'A JSON Web Key Set (RFC 7517). Each webhook has a key of its own, and during an overlap the one before it too. A ' +
      "receiver should verify with its own webhook's keys (`GET /v1/webhooks/{id}/secret`) and not with just any of these.",
    status: 200,
    schema: keySet,
    errors: ['internal_error', 'unavailable'],
    isPublic: true,
  })
  read(): Promise<KeySet> {
    return this.#reads.add(null);
  }
}
