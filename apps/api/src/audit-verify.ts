import { parseArgs } from 'node:util';
import type { AuditHead } from '#adapters/postgres/audit-chain.js';
import { connectDatabase } from '#adapters/postgres/database.js';
import { verifyAuditLog } from '#adapters/postgres/verify-audit.js';
import { AesGcmSecretBox, SealedValueError } from '#adapters/secrets/aes-gcm-secret-box.js';
import { ConfigurationError, readEnvironment } from '#config/environment.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';

/** The batches follow each other. */
const CONNECTIONS_MAX = 1;
/** Past these, one more tells nobody anything; the count goes on. */
const FINDINGS_TOLD_MAX = 100;
/** Sequence and MAC, as the sealer logs them. */
const HEAD = /^(\d{1,18}):([0-9a-f]{64})$/;

/** @returns whether the log is as it was sealed */
async function verify(): Promise<boolean> {
  const heads = headsOf(process.argv.slice(2));
  const { databaseUrl, encryptionKeys } = readEnvironment('api', process.env);
  const database = connectDatabase(databaseUrl, CONNECTIONS_MAX);
  try {
    let told = 0;
    const verdict = await verifyAuditLog(database, new AesGcmSecretBox(encryptionKeys), heads, (finding) => {
      told += 1;
      if (told <= FINDINGS_TOLD_MAX) console.error(finding);
    });
    const { entries, erased, unsealed, head, findings } = verdict;
    const counts = `${entries} entries, ${erased} of them erased; ${unsealed} not sealed yet`;
    const headText =
      head === null ? 'no head' : `head ${head.sequence}:${Buffer.from(head.mac).toString('hex')}`;
    if (findings > 0) console.error(`NOT OK: ${findings} findings in ${counts}; ${headText}`);
    else console.log(`OK: ${counts}; ${headText}`);
    return findings === 0;
  } finally {
    await database.$disconnect();
  }
}

function headsOf(args: readonly string[]): AuditHead[] {
  const texts = headArguments(args);
  return texts.map((text) => {
    const [, sequence, mac] = HEAD.exec(text) ?? [];
    if (sequence === undefined || mac === undefined) throw new ConfigurationError(USAGE);
    return { sequence: BigInt(sequence), mac: Buffer.from(mac, 'hex') };
  });
}

function headArguments(args: readonly string[]): readonly string[] {
  try {
    return (
      parseArgs({ args: [...args], options: { head: { type: 'string', multiple: true } } }).values.head ?? []
    );
  } catch {
    throw new ConfigurationError(USAGE);
  }
}

const USAGE =
  'Usage: npm run audit:verify -- [--head sequence:mac]... with heads as the worker logs them: a number, and 64 hexadecimal digits.';

try {
  if (!(await verify())) process.exitCode = 1;
} catch (error) {
  if (error instanceof SealedValueError)
    console.error(`The key of the audit log's chain does not open: ${error.message}.`);
  else tellStartupError(error);
  process.exit(1);
}
