// Version 1 is frozen: what was written for it runs on. Additions are free; what breaks a line here is version 2.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CASES } from '../../../../core/conformance/index.ts';
import * as now from '../../../../core/contract/index.ts';
import type * as v1 from './version-1.d.ts';

/** Compiles only while everything of `From` can be taken for a `To`. */
type Taken<To, From extends To> = From;

/** What a plugin of version 1 gives is what the engine takes. The plugin stands for its session and all that the session's methods give. */
type Accepted = Taken<now.Plugin, v1.Plugin>;

/** What the engine gives is what a plugin of version 1 takes; methods compare their parameters either way, so that each is named. */
type Given = [
  Taken<v1.HostContext, now.HostContext>,
  Taken<v1.Call, now.Call>,
  Taken<v1.PointRequest, now.PointRequest>,
  Taken<v1.CaptureRequest, now.CaptureRequest>,
  Taken<v1.MachineSpec, now.MachineSpec>,
  Taken<v1.ReplicaRequest, now.ReplicaRequest>,
  Taken<v1.ForkRequest, now.ForkRequest>,
  Taken<v1.GuestAddress, now.GuestAddress>,
  Taken<v1.Epoch, now.Epoch>,
  Taken<v1.NativePeer, now.NativePeer>,
  Taken<v1.NativeSeed, now.NativeSeed>,
  Taken<v1.NativeStep, now.NativeStep>,
];

interface Frozen {
  readonly methods: Readonly<Record<string, string>>;
  readonly errors: Readonly<Record<string, string>>;
  readonly cases: readonly string[];
}

const frozen = async (): Promise<Frozen> => JSON.parse(await readFile(join(import.meta.dirname, 'version-1.json'), 'utf8')) as Frozen;

const promiseOf = ({ shape, idempotent, creates, fenced }: now.Method): string =>
  [shape, ...(idempotent ? ['idempotent'] : []), ...(creates ? ['creates'] : []), ...(fenced ? ['fenced'] : [])].join(' ');

describe('version 1 of the contract', () => {
  it('has the types that it was frozen with', () => {
    const types: { readonly accepted?: Accepted; readonly given?: Given } = {};
    expect(types).to.deep.equal({});
    expect(now.CONTRACT_VERSION).to.equal(1);
  });

  it('calls its methods as it was frozen with', async () => {
    const facets: Readonly<Record<string, Readonly<Record<string, now.Method>>>> = now.METHODS;
    const methods = Object.fromEntries(
      Object.entries(facets).flatMap(([facet, list]) =>
        Object.entries(list).map(([name, method]) => [`${facet}.${name}`, promiseOf(method)]),
      ),
    );

    expect(methods).to.include((await frozen()).methods);
  });

  it('answers its error codes as it was frozen with', async () => {
    const errors = Object.fromEntries(Object.entries(now.ERRORS).map(([code, { retry }]) => [code, retry]));

    expect(errors).to.include((await frozen()).errors);
  });

  it('proves with the cases that it was frozen with, and perhaps with more', async () => {
    expect(CASES.map(({ id }) => id)).to.include.members([...(await frozen()).cases]);
  });
});
