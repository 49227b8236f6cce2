// Our own thin client: envelopes by the schema, answers read as they arrive.
import type { CallOptions, OpenWire, VsphereClient, VsphereConfig } from '../port.ts';
import { type Dialect, openSession } from '../session.ts';
import { encodeRequest } from './encode.ts';

const DIALECT: Dialect = {
  say: async ({ method, on, args }, post) => await post(encodeRequest(method, on, args)),
  [Symbol.asyncDispose]: async () => undefined,
};

export const openVim25 = async (openWire: OpenWire, config: VsphereConfig, options: CallOptions = {}): Promise<VsphereClient> =>
  await openSession(openWire(config), DIALECT, config, options);
