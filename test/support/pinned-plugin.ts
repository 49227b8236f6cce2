// A plugin whose endpoint is a JSON file, and known by a fingerprint: what the file says, the endpoint shows, from the next connect on.
import { readFile } from 'node:fs/promises';
import {
  type DiskId,
  DrError,
  definePlugin,
  type ErrorCode,
  type Finding,
  type MachineId,
  type PlaceId,
} from '../../core/contract/index.ts';
import { DISK_BYTES, d1, FULL, m1, machine, session } from '../unit/core/host/fake-plugin.ts';

export interface Shown {
  readonly fingerprint: string;
  /** An authority that is trusted signed it: no pin is needed. */
  readonly signed?: boolean;
  readonly refusal?: ErrorCode;
  readonly checks?: readonly Finding[];
  readonly assessed?: { readonly source?: readonly Finding[]; readonly target?: readonly Finding[] };
  readonly networks?: readonly { readonly id: string; readonly name: string }[];
  /** Id of the one disk of the one machine. */
  readonly disk?: string;
}

type Config = { readonly address: string; readonly pin?: string };

/** Pins of the sessions that were opened, and of those that were closed, in their order. */
export const opened: (string | undefined)[] = [];
export const closed: (string | undefined)[] = [];

const assertKnown = ({ fingerprint, signed, refusal = 'CERTIFICATE_UNTRUSTED' }: Shown, pin: string | undefined): void => {
  if (pin === undefined ? signed : pin === fingerprint) return;
  throw new DrError(refusal, pin === undefined ? 'nobody vouches for the endpoint' : 'the endpoint is not the one that was accepted', {
    context: { actual: fingerprint, ...(pin === undefined ? {} : { expected: pin }) },
  });
};

export const pinned = definePlugin<Config>({
  id: 'pinned',
  displayName: 'Pinned',
  config: [
    { name: 'address', type: 'string', required: true, help: 'file that says what the endpoint shows' },
    { name: 'user', type: 'string', help: 'account' },
    { name: 'pin', type: 'pin', help: 'SHA-256 of the endpoint' },
  ],
  capabilities: FULL,
  connect: async ({ address, pin }) => {
    const shown = JSON.parse(await readFile(address, 'utf8')) as Shown;
    assertKnown(shown, pin);
    opened.push(pin);
    const plain = machine(m1 as MachineId);
    const [disk] = plain.spec.disks;
    const there = {
      ...plain,
      spec: { ...plain.spec, disks: disk ? [{ ...disk, id: (shown.disk ?? d1) as DiskId, sizeBytes: DISK_BYTES }] : [], nics: [] },
    };
    return session({
      check: async () => shown.checks ?? [],
      inventory: {
        listMachines: async function* () {
          yield there;
        },
        getMachine: async () => there,
        listPlaces: async function* (kind) {
          if (kind === 'network') for (const { id, name } of shown.networks ?? []) yield { id: id as PlaceId, kind, name };
        },
        checkProtectable: async (_id, as) => shown.assessed?.[as] ?? [],
      },
      dispose: async () => void closed.push(pin),
    });
  },
});
