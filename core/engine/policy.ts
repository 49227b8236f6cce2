// A replication policy as it is given, and what makes it one that can be kept.
import { z } from 'zod';
import { DrError } from '../contract/index.ts';
import { DEFAULT_POLICY, type ReplicationPolicy } from '../domain/policy.ts';
import { listGroups, listPolicies } from '../state/records.ts';
import { id, type Workbench } from './operation.ts';

const nativeSchema = z.strictObject({
  frequencySeconds: z.union([z.literal(30), z.literal(300), z.literal(900)]).default(300),
  points: z.number().int().min(0).max(24).default(4),
  applicationConsistentHours: z.number().int().min(0).max(12).default(0),
  compression: z.boolean().default(true),
  authentication: z.enum(['kerberos', 'certificate']).default('kerberos'),
  certificateThumbprint: z
    .string()
    .regex(/^[0-9A-Fa-f]{40}$/, 'give the 40 hex digits of the thumbprint')
    .optional(),
  initialCopy: z
    .discriminatedUnion('by', [
      z.strictObject({ by: z.literal('network') }),
      z.strictObject({ by: z.literal('schedule'), startAt: z.iso.datetime() }),
      z.strictObject({ by: z.literal('media'), path: z.string().min(1).max(1_000) }),
      z.strictObject({ by: z.literal('existing') }),
    ])
    .default({ by: 'network' }),
});

export const policySchema = z.strictObject({
  name: id,
  method: z.enum(['journaled', 'native']).default(DEFAULT_POLICY.method),
  native: nativeSchema.optional(),
  rpoSeconds: z
    .number()
    .int()
    .min(1)
    .max(7 * 86_400)
    .default(DEFAULT_POLICY.rpoSeconds),
  intervalSeconds: z.number().int().min(1).max(86_400).default(DEFAULT_POLICY.intervalSeconds),
  retention: z
    .strictObject({
      points: z.number().int().min(1).max(10_000),
      hours: z
        .number()
        .min(0)
        .max(24 * 365),
    })
    .default(DEFAULT_POLICY.retention),
  consistency: z.enum(['crash', 'application']).default(DEFAULT_POLICY.consistency),
  orElse: z.enum(['crash', 'refuse']).default(DEFAULT_POLICY.orElse),
  applicationIntervalSeconds: z.number().int().min(0).default(DEFAULT_POLICY.applicationIntervalSeconds),
  maxSnapshotSeconds: z.number().int().min(60).default(DEFAULT_POLICY.maxSnapshotSeconds),
  sourceFreePercent: z.number().min(0).max(100).default(DEFAULT_POLICY.sourceFreePercent),
  maxFreezeMs: z.number().int().min(100).max(60_000).default(DEFAULT_POLICY.maxFreezeMs),
  proofDays: z.number().min(0).default(DEFAULT_POLICY.proofDays),
  testBacklogPoints: z.number().int().min(1).default(DEFAULT_POLICY.testBacklogPoints),
  resumeWithinMinutes: z.number().min(0).default(DEFAULT_POLICY.resumeWithinMinutes),
});

/** A native policy has settings, a journaled one has none; the hosts must be able to keep the promise. */
export const policyOf = ({ native, ...rest }: z.infer<typeof policySchema>): ReplicationPolicy => {
  const wrong = (key: string, message: string, hint: string) =>
    new DrError('CONFIG_INVALID', `policy ${rest.name}: ${message}`, { context: { policy: rest.name, key }, hint });
  if (rest.method === 'journaled') {
    if (native)
      throw wrong('native', 'settings for native replication with the method journaled', 'set method native, or leave native out');
    return rest;
  }
  const { certificateThumbprint, ...settings } = native ?? nativeSchema.parse({});
  if (settings.frequencySeconds > rest.rpoSeconds) {
    throw wrong(
      'native.frequencySeconds',
      `hosts that send every ${settings.frequencySeconds} s cannot keep an RPO of ${rest.rpoSeconds} s`,
      'choose a higher frequency (30, 300 or 900 s) or a longer RPO',
    );
  }
  if (certificateThumbprint && settings.authentication !== 'certificate')
    throw wrong(
      'native.certificateThumbprint',
      'a certificate with the authentication kerberos',
      'set authentication certificate, or leave the thumbprint out',
    );
  return { ...rest, native: { ...settings, ...(certificateThumbprint ? { certificateThumbprint } : {}) } };
};

/** Machines keep the method that they were protected with. */
export const assertMethodKept = async ({ core }: Workbench, policy: ReplicationPolicy): Promise<void> => {
  const known = (await listPolicies(core.store.db)).find((candidate) => candidate.name === policy.name);
  const user = (await listGroups(core.store.db)).find((group) => group.policy === policy.name);
  if (!user || !known || known.method === policy.method) return;
  throw new DrError('STATE_CONFLICT', `policy ${policy.name} is used by group ${user.name}, whose machines replicate ${known.method}`, {
    context: { policy: policy.name, group: user.name, key: 'method' },
    hint: 'create another policy, and protect the machines anew with it',
  });
};
