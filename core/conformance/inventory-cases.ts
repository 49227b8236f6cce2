import assert from 'node:assert/strict';
import type { Machine, MachineId } from '../contract/index.ts';
import type { Case } from './case.ts';
import { assertAborted, assertRefused, assertStreamAborts, collect, isoTime } from './probe.ts';
import { assertFindings } from './session-cases.ts';

/** What quoting, path joining and templating trip over. */
export const HOSTILE_NAMES = [
  `it's "quoted" \`back\``,
  '$(touch /tmp/x) ; rm -rf *',
  '../../etc/passwd',
  'a\\b/c%2fd',
  '<xml>&amp;]]>',
  'tab\tand {curly} [square]',
  'Üñï-機械 ١ 🖥',
  '-rf --help',
] as const;

const BUSES = ['ide', 'sata', 'scsi', 'nvme', 'virtio'];

const assertMachine = ({ id, name, power, spec, bootedAt }: Machine): void => {
  const what = `machine ${id}`;
  assert.ok(id !== '' && name !== '', `${what} has no id or no name`);
  assert.ok(['on', 'off', 'suspended', 'unknown'].includes(power), `${what} has power ${power}`);
  assert.ok(bootedAt === undefined || isoTime(bootedAt), `${what} was booted at ${bootedAt}, which is not ISO-8601 in UTC`);
  assert.ok(spec.cpuCount >= 1 && spec.memoryBytes > 0, `${what} has ${spec.cpuCount} processors and ${spec.memoryBytes} bytes of memory`);
  const ids = [...spec.disks.map((disk) => disk.id), ...spec.nics.map((nic) => nic.id)];
  assert.equal(new Set(ids).size, ids.length, `the ids of disks and NICs of ${what} are not unique: ${ids.join(', ')}`);
  for (const disk of spec.disks) {
    const { sizeBytes, logicalSectorBytes } = disk;
    const whole = Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % logicalSectorBytes === 0;
    assert.ok(whole, `disk ${disk.id} of ${what} has ${sizeBytes} bytes in sectors of ${logicalSectorBytes}`);
    assert.ok(BUSES.includes(disk.bus), `disk ${disk.id} of ${what} is on bus ${disk.bus}`);
  }
};

const idsOf = (machines: readonly Machine[]): string[] => machines.map((machine) => machine.id).sort();

export const inventoryCases: readonly Case[] = [
  {
    id: 'INV-001',
    level: 1,
    title: 'every machine is listed once, with a whole definition',
    promise: 'listMachines MUST give every machine once, with unique ids and a complete definition, however many pages it takes.',
    cause: 'the page after the first is not asked for, or overlaps with it',
    needs: [],
    run: async ({ session, call, scale }) => {
      const machines = await collect(session.inventory.listMachines({}, call()));

      assert.equal(new Set(idsOf(machines)).size, machines.length, `${machines.length} machines have ${new Set(idsOf(machines)).size} ids`);
      assert.ok(machines.length >= scale.machines, `${machines.length} machines are listed, expected at least ${scale.machines}`);
      for (const machine of machines) assertMachine(machine);
    },
  },
  {
    id: 'INV-002',
    level: 1,
    title: 'ids are the same in every listing and session',
    promise: 'Ids of machines, disks and NICs MUST be stable: the same from every session, never a name, a path or an index.',
    cause: 'the id is made from the position in the list, or made anew by each session',
    needs: [],
    run: async (ctx) => {
      const flat = (machines: readonly Machine[]) =>
        machines.map(({ id, spec }) => [id, ...spec.disks.map((disk) => disk.id), ...spec.nics.map((nic) => nic.id)].join(' ')).sort();
      const here = await collect(ctx.session.inventory.listMachines({}, ctx.call()));
      const other = await ctx.connect();
      const there = await collect(other.inventory.listMachines({}, ctx.call()));

      assert.deepEqual(flat(there), flat(here), 'another session gives other ids for the same machines');
    },
  },
  {
    id: 'INV-003',
    level: 1,
    title: 'getMachine gives what the list gave',
    promise: 'getMachine MUST give the machine of that id, with the same disks and NICs as in the list.',
    cause: 'getMachine looks the machine up by name',
    needs: [],
    run: async ({ session, call }) => {
      for (const listed of (await collect(session.inventory.listMachines({}, call()))).slice(0, 20)) {
        const got = await session.inventory.getMachine(listed.id, call());

        assert.equal(got.id, listed.id, `getMachine(${listed.id}) gave ${got.id}`);
        assert.deepEqual(got.spec.disks, listed.spec.disks, `getMachine(${listed.id}) gave other disks than the list`);
        assert.deepEqual(got.spec.nics, listed.spec.nics, `getMachine(${listed.id}) gave other NICs than the list`);
      }
    },
  },
  {
    id: 'INV-004',
    level: 1,
    title: 'an id that nobody has is not found, however it is spelled',
    promise: 'getMachine and checkProtectable MUST reject with NOT_FOUND for an id that no machine has.',
    cause: 'the id is spliced into a command, a path or a query, or an error of the SDK is passed on',
    needs: [],
    run: async ({ session, call }) => {
      for (const id of ['no-such-machine', ...HOSTILE_NAMES] as unknown as MachineId[]) {
        await assertRefused(`getMachine(${JSON.stringify(id)})`, () => session.inventory.getMachine(id, call()), 'NOT_FOUND');
        const check = () => session.inventory.checkProtectable(id, 'source', call());
        await assertRefused(`checkProtectable(${JSON.stringify(id)})`, check, 'NOT_FOUND');
      }
    },
  },
  {
    id: 'INV-005',
    level: 2,
    title: 'a machine keeps its id and its odd name',
    promise: 'A rename MUST change the name only, and a name MUST come back as it is, whatever characters it has.',
    cause: 'output of a command is parsed by separators that may be part of a name',
    needs: ['scratch', 'lab'],
    run: async (ctx) => {
      const { id, name, spec } = await ctx.machine();
      try {
        for (const odd of HOSTILE_NAMES) {
          await ctx.lab.rename(id, odd);
          const got = await ctx.session.inventory.getMachine(id, ctx.call());
          const listed = (await collect(ctx.session.inventory.listMachines({}, ctx.call()))).find((machine) => machine.id === id);

          assert.equal(got.name, odd, `after a rename getMachine gave ${JSON.stringify(got.name)}, expected ${JSON.stringify(odd)}`);
          assert.equal(listed?.name, odd, `after a rename the list has ${JSON.stringify(listed?.name)}, expected ${JSON.stringify(odd)}`);
          assert.deepEqual(
            got.spec.disks.map((disk) => disk.id),
            spec.disks.map((disk) => disk.id),
            'a rename changed the ids of the disks',
          );
        }
      } finally {
        await ctx.lab.rename(id, name);
      }
    },
  },
  {
    id: 'INV-006',
    level: 1,
    title: 'a listing ends when it is aborted, wherever it is',
    promise: 'Once its signal aborts, a stream MUST reject with the reason of the signal at the next element, also after the last one.',
    cause: 'the signal is looked at between pages only',
    needs: [],
    run: async ({ session, abortable }) => {
      await assertStreamAborts('listMachines', (call) => session.inventory.listMachines({}, call), abortable);
      await assertStreamAborts('listPlaces', (call) => session.inventory.listPlaces('network', call), abortable);
    },
  },
  {
    id: 'INV-007',
    level: 1,
    title: 'labels select machines',
    promise: 'A query by labels MUST give exactly the machines that carry all of them.',
    cause: 'the query is ignored, or any label suffices',
    needs: [],
    run: async ({ session, call }) => {
      const all = await collect(session.inventory.listMachines({}, call()));
      const none = await collect(session.inventory.listMachines({ labels: { 'conformance-none': 'x' } }, call()));
      const labels = all.map((machine) => Object.entries(machine.labels)[0]).find((entry) => entry !== undefined);

      assert.deepEqual(idsOf(none), [], 'a label that no machine has gave machines');
      if (!labels) return;
      const [key, value] = labels;
      const wanted = idsOf(all.filter((machine) => machine.labels[key] === value));
      const got = idsOf(await collect(session.inventory.listMachines({ labels: { [key]: value } }, call())));
      assert.deepEqual(got, wanted, `label ${key}=${value} gave ${got.length} machines, and ${wanted.length} carry it`);
    },
  },
  {
    id: 'INV-009',
    level: 1,
    title: 'a listing that is left early or read twice at once harms nobody',
    promise: 'Listings MUST be independent: two at a time give the same, and one that its reader leaves early ends there.',
    cause: 'the cursor is kept in the session',
    needs: [],
    run: async ({ session, call }) => {
      const whole = idsOf(await collect(session.inventory.listMachines({}, call())));
      for await (const _ of session.inventory.listMachines({}, call())) break;
      const [one, two] = await Promise.all([1, 2].map(() => collect(session.inventory.listMachines({}, call()))));

      assert.deepEqual(idsOf(one ?? []), whole, 'one of two listings at a time is not the whole list');
      assert.deepEqual(idsOf(two ?? []), whole, 'one of two listings at a time is not the whole list');
    },
  },
  {
    id: 'INV-010',
    level: 1,
    title: 'checkProtectable answers for both roles',
    promise: 'checkProtectable MUST answer with findings that say what stands in the way and what to do.',
    cause: 'a finding was written without its hint',
    needs: [],
    run: async ({ session, call }) => {
      for (const { id } of (await collect(session.inventory.listMachines({}, call()))).slice(0, 5)) {
        for (const as of ['source', 'target'] as const) {
          assertFindings('checkProtectable', await session.inventory.checkProtectable(id, as, call()));
        }
      }
    },
  },
  {
    id: 'INV-011',
    level: 2,
    title: 'a watcher hears of a change after its cursor, and stops waiting when it is aborted',
    promise:
      'watch MUST report every machine that changed after the cursor, and once its signal aborts it MUST reject with the reason of the signal.',
    cause: 'changes between two requests are lost, or an aborted wait is taken for the end of the stream',
    needs: ['scratch', 'lab', 'watch'],
    run: async (ctx) => {
      const { id, name } = await ctx.machine();
      const { inventory } = ctx.session;
      const hears = async (cursor: string | undefined): Promise<string> => {
        for await (const change of inventory.watch!(cursor, ctx.call())) if (change.changed.includes(id)) return change.cursor;
        return assert.fail('watch ended by itself, before the change');
      };
      try {
        // Without a cursor a watch begins when the endpoint has heard of it: renamed until it is heard.
        let listening = true;
        const first = hears(undefined).finally(() => {
          listening = false;
        });
        first.catch(() => undefined);
        for (let count = 0; listening; count += 1) {
          await ctx.lab.rename(id, `renamed ${count}`);
          await new Promise((resolve) => void setImmediate(resolve));
        }
        const cursor = await first;
        await ctx.lab.rename(id, 'renamed while nobody watches');
        const latest = await hears(cursor);
        const { call, abort } = ctx.abortable();
        const waiting = inventory.watch!(latest, call)[Symbol.asyncIterator]();
        const next = waiting.next();
        abort();
        await assertAborted('watch, aborted while it waits,', call, () => next);
      } finally {
        await ctx.lab.rename(id, name);
      }
    },
  },
];
