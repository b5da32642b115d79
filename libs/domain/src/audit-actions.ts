/** Everything that the audit log records, and what an entry of it says. */
export const AUDIT_ACTIONS = {
  'merchant.created': 'A merchant was made.',
  'merchant.updated': 'A merchant was changed.',
  'merchant.erased': 'The erasure of a merchant was asked for; its keys died with it.',
  'api_key.created': 'An API key was made.',
  'api_key.revoked': 'An API key was revoked.',
  'webhook.created': 'A webhook was registered; the answer showed its secret.',
  'webhook.updated': 'A webhook was changed, paused, enabled or disabled.',
  'webhook.deleted': 'A webhook was deleted.',
  'webhook.tested': 'A test was sent to a webhook.',
  'secret.read': "A webhook's secrets were shown.",
  'secret.rotated': "A webhook's secret was replaced; the answer showed it.",
  'delivery.retried': 'An attempt of a delivery was asked for.',
  'delivery.cancelled': 'A delivery was cancelled.',
  'recovery.created': 'A recovery was begun.',
  'recovery.cancelled': 'A recovery was cancelled.',
  'event_type.saved': 'An event type was made or changed.',
  'event_type.archived': 'An event type was archived.',
  'portal_link.created': 'A link into the console was made.',
  'environment_key.installed': 'A boot replaced the platform key of the environment.',
  'encryption_keys.rewrapped': 'What is sealed was sealed anew under the first encryption key.',
} as const satisfies Readonly<Record<string, string>>;

export type AuditAction = keyof typeof AUDIT_ACTIONS;

export const AUDIT_ACTION_NAMES = Object.keys(AUDIT_ACTIONS) as [AuditAction, ...AuditAction[]];

/** Actor of what Posthorn or its operator's commands do by themselves, without a key. */
export const SYSTEM_ACTOR = 'system';
/** Actor of what is done with the platform key that the environment gives. */
export const ENVIRONMENT_ACTOR = 'environment';

/** What an entry says of its object as the API shows it; never with a secret. */
export type AuditView = Readonly<Record<string, unknown>>;

/** Move without anybody's doing, or with every change: they tell a reader of the audit log nothing. */
const RESTLESS_MEMBERS: ReadonlySet<string> = new Set(['health', 'updated_at']);

/**
 * What a change did to an object: of two views the members that differ, of one the whole.
 *
 * @param hiddenMembers members that have changed although their views, which hide values, are equal
 */
export function auditedChange(
  before: AuditView | null,
  after: AuditView | null,
  hiddenMembers: readonly string[] = [],
): { readonly before: AuditView | null; readonly after: AuditView | null } {
  const isTold = (name: string): boolean =>
    !RESTLESS_MEMBERS.has(name) &&
    (before === null ||
      after === null ||
      hiddenMembers.includes(name) ||
      JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  const told = (view: AuditView | null): AuditView | null =>
    view && Object.fromEntries(Object.entries(view).filter(([name]) => isTold(name)));
  return { before: told(before), after: told(after) };
}
