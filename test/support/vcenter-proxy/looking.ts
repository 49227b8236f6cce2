// RetrievePropertiesEx and the pages that the simulator does not make, updates, tasks of the model: answers with the model's properties in them.
import { faultEnvelope } from '../../../adapters/lab/vsphere/fault-answers.ts';
import { VimFaultError } from '../../../adapters/lab/vsphere/model.ts';
import type { Call } from '../../../adapters/lab/vsphere/strict.ts';
import type { VimArgs } from '../../../adapters/vsphere/port.ts';
import { encodeElement } from '../../../adapters/vsphere/vim25/encode.ts';
import { answerTo, childrenOf, parseEnvelope, toEnvelope, writeElement } from './elements.ts';
import { patchObject, patchUpdate } from './patches.ts';
import type { Reply } from './step.ts';
import type { Twin } from './twin.ts';

const METHODS = new Set(['RetrievePropertiesEx', 'ContinueRetrievePropertiesEx', 'CancelRetrievePropertiesEx']);

export class Looking {
  readonly #twin: Twin;
  readonly #pages = new Map<string, { readonly objects: readonly string[]; readonly size: number }>();
  #tokens = 0;

  constructor(twin: Twin) {
    this.#twin = twin;
  }

  static concerns({ method }: Call): boolean {
    return METHODS.has(method);
  }

  async answer(call: Call, forward: () => Promise<Reply>): Promise<Reply> {
    if (call.method === 'RetrievePropertiesEx') return this.#retrieve(call.args as VimArgs<'RetrievePropertiesEx'>, forward);
    const { token } = call.args as VimArgs<'ContinueRetrievePropertiesEx'>;
    const page = this.#pages.get(token);
    this.#pages.delete(token);
    if (!page) {
      const unknown = new VimFaultError('InvalidArgument', 'A specified parameter was not correct: token', { invalidProperty: 'token' });
      return { status: 500, xml: faultEnvelope(unknown, call.on) };
    }
    if (call.method === 'CancelRetrievePropertiesEx') return { status: 200, xml: answerTo(call.method, '') };
    return this.#page(call.method, page.objects, page.size);
  }

  patchUpdates(reply: Reply): Reply {
    if (reply.status !== 200) return reply;
    const answer = parseEnvelope(reply.xml);
    const filters = childrenOf(answer, 'returnval').flatMap((set) => childrenOf(set, 'filterSet'));
    for (const update of filters.flatMap((filter) => childrenOf(filter, 'objectSet'))) patchUpdate(this.#twin, update);
    return { status: 200, xml: toEnvelope(writeElement(answer)) };
  }

  async #retrieve({ specSet, options }: VimArgs<'RetrievePropertiesEx'>, forward: () => Promise<Reply>): Promise<Reply> {
    const objects = this.#ofTheModel(specSet) ?? (await this.#ofTheSimulator(specSet, forward));
    if (!Array.isArray(objects)) return objects as Reply;
    return this.#page('RetrievePropertiesEx', objects as string[], options.maxObjects ?? 0);
  }

  /** Tasks of which the simulator knows nothing. */
  #ofTheModel(specSet: VimArgs<'RetrievePropertiesEx'>['specSet']): string[] | undefined {
    const [spec] = specSet;
    const tasks = (spec?.objectSet ?? []).map(({ obj }) => obj).filter((obj) => this.#twin.task(obj));
    if (tasks.length === 0) return undefined;
    const paths = spec!.propSet.flatMap(({ pathSet = [] }) => pathSet);
    return tasks.map((obj) => {
      const found = paths.flatMap((path) => this.#twin.property(obj, path) ?? []);
      const propSet = found.map(({ name, val }) => `<propSet><name>${name}</name>${val}</propSet>`).join('');
      return `<objects>${encodeElement('obj', 'ManagedObjectReference', obj)}${propSet}</objects>`;
    });
  }

  async #ofTheSimulator(specSet: VimArgs<'RetrievePropertiesEx'>['specSet'], forward: () => Promise<Reply>): Promise<string[] | Reply> {
    const reply = await forward();
    if (reply.status !== 200) return reply;
    const objects = childrenOf(parseEnvelope(reply.xml), 'returnval').flatMap((result) => childrenOf(result, 'objects'));
    for (const object of objects) patchObject(this.#twin, object, specSet);
    return objects.map(writeElement);
  }

  #page(method: string, objects: readonly string[], size: number): Reply {
    const now = size > 0 ? objects.slice(0, size) : objects;
    const rest = objects.slice(now.length);
    let token = '';
    if (rest.length > 0) {
      const name = `page-${++this.#tokens}`;
      this.#pages.set(name, { objects: rest, size });
      token = encodeElement('token', 'string', name);
    }
    return { status: 200, xml: answerTo(method, now.length > 0 ? `<returnval>${token}${now.join('')}</returnval>` : '') };
  }
}
