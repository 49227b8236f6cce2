// Which way is taken for reading and for writing, and why.
import { type Call, DrError, type Finding } from '../../../core/contract/index.ts';
import type { Mover, MoverName } from './mover.ts';

export interface DataPaths {
  readonly read: Mover;
  /** Absent: nothing at this endpoint can be written to, so it is no target. */
  readonly write: (Mover & Required<Pick<Mover, 'openWrite'>>) | undefined;
  readonly all: readonly Mover[];
  /** It carries other machines' disks and is nobody to protect. Undefined: none, or it is not found. */
  readonly appliance: string | undefined;
  findings(call: Call): Promise<PathFindings>;
}

export interface PathFindings {
  readonly source: Finding;
  readonly target: Finding;
}

const canWrite = (mover: Mover): mover is Mover & Required<Pick<Mover, 'openWrite'>> => mover.openWrite !== undefined;

/** `movers`: what the endpoint has, the best first. `asked`: the operator's choice for reading, else the best. */
export const choosePaths = (movers: readonly Mover[], asked: MoverName | undefined, appliance?: string): DataPaths => {
  const read = asked === undefined ? movers[0] : movers.find(({ name }) => name === asked);
  if (!read) {
    throw new DrError(
      'CONFIG_INVALID',
      `the endpoint cannot read by ${asked}: ${asked === 'hotadd' ? 'no appliance is named' : 'no VDDK is named'}`,
      {
        hint: asked === 'hotadd' ? 'set appliance to the machine that warmsite runs in' : 'set vddk to the folder of VMware’s library',
        context: { key: 'dataPath' },
      },
    );
  }
  // HotAdd writes a disk as its host does; NBD goes through NFC, slower.
  const writers = movers.filter(canWrite);
  const write = writers.find(({ name, trouble }) => name === 'hotadd' && trouble === undefined) ?? writers[0];
  const why = asked === undefined ? 'the best way that the endpoint has' : 'as the endpoint asks for';
  return {
    read,
    write,
    all: movers,
    appliance,
    findings: async (call) => ({
      source:
        (await troubleOf(read, 'read', call)) ??
        ({
          code: 'DATA_PATH',
          level: read.name === 'https' ? 'warning' : 'info',
          message: `disks are read ${read.describe()} (${why})`,
          hint: read.name === 'https' ? 'set appliance or vddk at the endpoint' : 'nothing to do',
        } satisfies Finding),
      target: !write
        ? NO_WRITER
        : ((await troubleOf(write, 'written', call)) ??
          ({
            code: 'DATA_PATH',
            level: 'info',
            message: `replica disks are written ${write.describe()}`,
            hint: 'nothing to do',
          } satisfies Finding)),
    }),
  };
};

/** It holds up data alone; the operator hears of it before the day on which it counts. */
const troubleOf = async (mover: Mover, what: 'read' | 'written', call: Call): Promise<Finding | undefined> => {
  const trouble = await mover.trouble?.(call);
  if (!trouble) return undefined;
  return {
    code: 'DATA_PATH',
    level: 'blocks',
    message: `disks cannot be ${what} by ${mover.name}: ${trouble.message}`,
    hint: trouble.hint ?? 'repair it, or choose another way with endpoint set',
  };
};

export const NO_WRITER: Finding = {
  code: 'DATA_PATH',
  level: 'blocks',
  message: 'replica disks cannot be written: the endpoint has neither an appliance nor VDDK',
  hint: 'set appliance or vddk at the endpoint',
};
