// The same requests by both ways to a simulated host: through the stand-in in process, and through a true PowerShell with the shipped dispatcher.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createEstate, type InProcessEstate } from '../../adapters/lab/in-process.ts';
import type { EndpointSpec } from '../../adapters/lab/port.ts';
import { CMDLETS } from '../../adapters/powershell/allowed.ts';
import type { PowerShell, PsError, PsRow, Step } from '../../adapters/powershell/port.ts';
import { isDrError } from '../../core/contract/index.ts';
import { hostSpec, MIB } from '../unit/adapters/lab-powershell/bench.ts';
import { mockModules } from './engine.ts';
import type { MockModules } from './mock/modules.ts';
import { createTrueEstate } from './mock/open.ts';
import { CLUSTER, HOST, type Outcome, type Player, type Recording, VMM_SERVER } from './recorded.ts';

const MACHINES = [
  { name: 'shop-db', disks: [{ sizeBytes: MIB }, { sizeBytes: MIB }] },
  { name: 'shop-web', disks: [{ sizeBytes: MIB }], writesPerSecond: 0 },
];
const NODES = { hosts: ['hv-1', 'hv-2'] } as const;

const ON_HOST = hostSpec(MACHINES);
const ON_CLUSTER = hostSpec(MACHINES, { ...NODES, hyperv: { kind: 'cluster' } });
const ON_VMM = hostSpec(MACHINES, { ...NODES, hyperv: { kind: 'vmm' } });

/** Time moves only where a recording says so: both estates live through the same instants. */
const optionsOf = (spec: EndpointSpec) => ({ spec: { sites: [{ name: 'site', endpoints: [spec] }] }, seed: 11, clock: 'manual' as const });

interface Played {
  readonly asked: readonly Step[];
  readonly outcome: Outcome;
}

class Recorder implements Player {
  readonly played: Played[] = [];
  readonly #lab: InProcessEstate;
  readonly #shell: PowerShell;
  readonly #ids: ReadonlyMap<string, string>;

  constructor(lab: InProcessEstate, shell: PowerShell) {
    this.#lab = lab;
    this.#shell = shell;
    this.#ids = new Map([...lab.estate.machines.values()].map(({ name, id }) => [name, id]));
  }

  readonly run = async (...asked: Step[]): Promise<readonly PsRow[]> => {
    try {
      const outcome = await this.#shell.run(asked);
      this.played.push({ asked, outcome });
      return outcome.at(-1)?.rows ?? [];
    } catch (error) {
      if (!isDrError(error) || error.cause === undefined) throw error;
      this.played.push({ asked, outcome: error.cause as PsError });
      return [];
    }
  };

  readonly advance = async (ms: number): Promise<void> => void (await this.#lab.control.call('lab.advance', { ms }));

  readonly id = (name: string): string => this.#ids.get(name) ?? '';
}

/** What the engine's binder says is the engine's, and so is why a value could not be had: nobody decides by either. */
const comparable = (outcome: Outcome | undefined): unknown => {
  if (outcome === undefined || !('fqid' in outcome) || !/\.ParameterBinding\w*Exception$/.test(outcome.type)) return outcome;
  const { message: _, innerHresult: __, ...rest } = outcome;
  return rest;
};

const play = async (lab: InProcessEstate, { name }: EndpointSpec, recording: Recording): Promise<readonly Played[]> => {
  await using shell = await lab.openPowerShell({ host: name, transport: { kind: 'local', username: 'warmsite', password: 'secret' } });
  const recorder = new Recorder(lab, shell);
  await recording(recorder);
  return recorder.played;
};

describe('both ways to a simulated host', function () {
  this.timeout(60_000);
  let modules: MockModules;
  const asked = new Set<string>();

  before(async function () {
    modules = await mockModules(this);
  });
  after(() => modules?.[Symbol.asyncDispose]());

  const rows: readonly (readonly [string, EndpointSpec, Recording])[] = [
    ...HOST.map(([what, recording]) => [what, ON_HOST, recording] as const),
    ['a cluster', ON_CLUSTER, CLUSTER],
    ['a VMM server', ON_VMM, VMM_SERVER],
  ];
  for (const [what, spec, recording] of rows) {
    it(`give equal replies about ${what}`, async () => {
      await using inProcess = createEstate(optionsOf(spec));
      await using byEngine = await createTrueEstate(modules, optionsOf(spec));

      const expected = await play(inProcess, spec, recording);
      const seen = await play(byEngine, spec, recording);

      for (const { asked: steps } of seen) for (const { cmdlet } of steps) asked.add(cmdlet);
      for (const [index, { asked: steps, outcome }] of seen.entries())
        expect({ steps, outcome: comparable(outcome) }).to.deep.equal({
          steps: expected[index]?.asked,
          outcome: comparable(expected[index]?.outcome),
        });
      expect(seen).to.have.length(expected.length);
      expect(byEngine.disagreements).to.deep.equal([]);
    });
  }

  it('were asked for every cmdlet on the list', () => {
    expect(Object.keys(CMDLETS).filter((cmdlet) => !asked.has(cmdlet))).to.deep.equal([]);
  });
});
