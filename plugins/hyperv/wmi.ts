// Methods of root\virtualization\v2: they answer at once, or with a job that is looked at until it ends.
// Codes: Hyper-V WMI provider (v2) reference; of Msvm_ConcreteJob.JobState: CIM_ConcreteJob.
import type { Argument, PsRow, Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type ErrorCode } from '../../core/contract/index.ts';
import { pollTask, type TaskState } from '../../core/plugin-kit/index.ts';
import type { Fabric } from './fabric.ts';
import { maybeNumber, number, text } from './rows.ts';

const NAMESPACE = 'root/virtualization/v2';
const FIRST_PAUSE_MS = 50;
const MOST_PAUSE_MS = 2_000;

const DONE = 0;
const STARTED = 4096;
/** Completed, and completed with warnings: a warning is no failure. */
const SUCCEEDED = [7, 32768];
const ENDED = [...SUCCEEDED, 8, 9, 10];

const CODES: Readonly<Record<number, ErrorCode>> = {
  1: 'CAPABILITY_MISSING',
  3: 'TIMED_OUT',
  5: 'STATE_CONFLICT',
  32769: 'PERMISSION_DENIED',
  32770: 'CAPABILITY_MISSING',
  32772: 'TIMED_OUT',
  32774: 'TASK_IN_PROGRESS',
  32775: 'STATE_CONFLICT',
  32777: 'HOST_BUSY',
  32778: 'HOST_BUSY',
  32779: 'NOT_FOUND',
};

/** `filter`: a property and its value, which is an id that a host has given. */
export const instances = (
  className: string,
  filter?: { readonly property: string; readonly value: string },
  select?: readonly string[],
): Step => ({
  cmdlet: 'Get-CimInstance',
  params: {
    Namespace: NAMESPACE,
    ClassName: className,
    ...(filter ? { Filter: `${filter.property}='${filter.value.replaceAll('\\', '\\\\')}'` } : {}),
  },
  ...(select ? { select } : {}),
});

export interface Method {
  readonly host: string;
  /** What the arguments refer to, by their order. */
  readonly steps?: readonly Step[];
  readonly service: string;
  readonly method: string;
  readonly args: Readonly<Record<string, Argument>>;
  /** Results beside the return value. */
  readonly select?: readonly string[];
  /** For people, what is done to what. */
  readonly what: string;
}

/** Resolves when the job has ended well. A host that has forgotten the job leaves it to the caller to look at the state. */
export const callMethod = async (fabric: Fabric, asked: Method, call: Call): Promise<PsRow> => {
  const { host, steps = [], service, method, args, select = [], what } = asked;
  const all: Step[] = [
    ...steps,
    instances(service),
    {
      cmdlet: 'Invoke-CimMethod',
      params: { InputObject: { $step: steps.length }, MethodName: method, Arguments: args },
      select: ['ReturnValue', 'Job.InstanceID?', ...select],
    },
  ];
  const [row] = await fabric.rows(host, all, call);
  if (!row) throw new DrError('PROTOCOL_ERROR', `${what} gave no answer on ${host}`, { context: { method, name: host } });
  const code = number(row, 'ReturnValue');
  if (code === STARTED) await awaitJob(fabric, { host, job: text(row, 'Job.InstanceID'), method, what }, call);
  else if (code !== DONE) throw failed({ host, method, what }, code, '');
  return row;
};

interface Job {
  readonly host: string;
  readonly job: string;
  readonly method: string;
  readonly what: string;
}

const JOB = ['JobState', 'ErrorCode', 'ErrorDescription'] as const;

const awaitJob = (fabric: Fabric, { host, job, method, what }: Job, call: Call): Promise<void> => {
  const look = async (): Promise<TaskState<void>> => {
    const [row] = await fabric.rows(host, [instances('Msvm_ConcreteJob', { property: 'InstanceID', value: job }, JOB)], call);
    // Jobs vanish some minutes after their end.
    if (!row) return { done: true, value: undefined };
    const state = number(row, 'JobState');
    if (!ENDED.includes(state)) return { done: false };
    const error = maybeNumber(row, 'ErrorCode') ?? 0;
    if (SUCCEEDED.includes(state) && error === 0) return { done: true, value: undefined };
    throw failed({ host, method, what }, error, text(row, 'ErrorDescription'));
  };
  return pollTask(call, what, look, { firstPauseMs: FIRST_PAUSE_MS, maxPauseMs: MOST_PAUSE_MS, time: fabric.time });
};

const failed = ({ host, method, what }: Omit<Job, 'job'>, code: number, description: string): DrError =>
  new DrError(
    CODES[code] ?? 'INTERNAL',
    `${what} failed on ${host} with code ${code}${description === '' ? '' : `: ${description.trim()}`}`,
    {
      context: { method, name: host, vendorCode: code },
    },
  );

/** An instance as text, as methods take settings (DSP0201: CIM-XML). */
export const embedded = (
  className: string,
  properties: Readonly<Record<string, readonly [type: string, value: string | readonly string[]]>>,
): string =>
  `<INSTANCE CLASSNAME="${className}">${Object.entries(properties)
    .map(([name, [type, value]]) =>
      typeof value === 'string'
        ? `<PROPERTY NAME="${name}" TYPE="${type}">${valueElement(value)}</PROPERTY>`
        : `<PROPERTY.ARRAY NAME="${name}" TYPE="${type}"><VALUE.ARRAY>${value.map(valueElement).join('')}</VALUE.ARRAY></PROPERTY.ARRAY>`,
    )
    .join('')}</INSTANCE>`;

const valueElement = (text: string): string =>
  `<VALUE>${text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}</VALUE>`;
