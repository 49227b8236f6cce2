// One call on its way through the proxy: what a rule is given, and what it answers.
import { faultEnvelope } from '../../../adapters/lab/vsphere/fault-answers.ts';
import type { Call } from '../../../adapters/lab/vsphere/strict.ts';
import type { MoRef } from '../../../adapters/vsphere/port.ts';
import { encodeElement } from '../../../adapters/vsphere/vim25/encode.ts';
import { methodReturns } from '../../../adapters/vsphere/vim25/schema.ts';
import type { Vim } from '../vim.ts';
import { answerTo } from './elements.ts';
import type { Outcome, Twin } from './twin.ts';

export interface Reply {
  readonly status: number;
  readonly xml: string;
}

export interface Host {
  readonly host: MoRef;
  readonly networkSystem: MoRef;
}

export interface Step {
  readonly call: Call;
  readonly twin: Twin;
  /** The proxy's own session at the simulator. */
  readonly own: Vim;
  readonly hosts: readonly Host[];
  /** The client's call with the client's session; `args` in place of its own. */
  forward(args?: object): Promise<Reply>;
  /** What the simulator answered: the value, or that of the task. Undefined when it has refused. */
  resultOf(reply: Reply): Promise<{ readonly result: unknown } | undefined>;
  /** The reply, once it is sure that the simulator did what the model has done already. */
  agreed(reply: Reply): Promise<Reply>;
  /** A file that an attached disk names must be there for the simulator, whatever it has renamed or deleted. */
  ensureFile(path: string): Promise<void>;
}

export type Rule = (step: Step) => Promise<Reply>;

/** As a vCenter refuses: at once, or by a task that ends so. */
export const refusal = ({ method, on }: Call, outcome: Extract<Outcome, { fault: unknown }>): Reply =>
  outcome.task
    ? { status: 200, xml: answerTo(method, encodeElement('returnval', 'ManagedObjectReference', outcome.task)) }
    : { status: 500, xml: faultEnvelope(outcome.fault, on) };

/** The model's answer to a call that the simulator does not know. */
export const answerOf = ({ method }: Call, result: unknown): Reply => {
  const returns = methodReturns(method);
  const values = returns === undefined || result === undefined ? [] : returns.list ? (result as readonly unknown[]) : [result];
  return { status: 200, xml: answerTo(method, values.map((value) => encodeElement('returnval', returns!.type, value)).join('')) };
};
