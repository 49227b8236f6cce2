// RetrievePropertiesEx and its pages, for one session.
import type { MoRef, PropertyFilterSpec } from '../../vsphere/port.ts';
import { encodeElement } from '../../vsphere/vim25/encode.ts';
import { localized, vimFault } from './fault-answers.ts';
import type { VimFaultError } from './model.ts';
import { type ReadProperty, readProperty } from './properties.ts';
import { assertSpec, pathsFor, type Reachable, selectObjects } from './selection.ts';

export interface World extends Reachable {
  /** Why this session may not see a property of the object. */
  refuses(on: MoRef, path: string): VimFaultError | undefined;
}

/** An answer that is on the wire already. */
export class EncodedAnswer {
  readonly xml: string;

  constructor(xml: string) {
    this.xml = xml;
  }
}

/** A vCenter cuts an answer by itself where the client does not say how much it wants. */
const MOST_OBJECTS = 1000;

interface Wanted {
  readonly on: MoRef;
  readonly paths: readonly string[];
}

export class Retrieval {
  readonly #world: World;
  readonly #pages = new Map<string, readonly Wanted[]>();
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  start(specs: readonly PropertyFilterSpec[], maxObjects: number | undefined): EncodedAnswer | undefined {
    const wanted = this.#wantedBy(specs);
    return wanted.length === 0 ? undefined : this.#page(wanted, maxObjects === undefined || maxObjects <= 0 ? MOST_OBJECTS : maxObjects);
  }

  /** As RetrieveProperties answers: all at once. */
  all(specs: readonly PropertyFilterSpec[]): EncodedAnswer {
    return new EncodedAnswer(
      this.#wantedBy(specs)
        .map((one) => this.#content('returnval', one))
        .join(''),
    );
  }

  /** A token is good for one page. */
  next(token: string): EncodedAnswer {
    const rest = this.#take(token);
    return this.#page(rest, Number(token.slice(token.lastIndexOf('/') + 1)));
  }

  cancel(token: string): void {
    this.#take(token);
  }

  #take(token: string): readonly Wanted[] {
    const rest = this.#pages.get(token);
    if (!rest) throw vimFault('InvalidArgument', { invalidProperty: 'token' });
    this.#pages.delete(token);
    return rest;
  }

  #wantedBy(specs: readonly PropertyFilterSpec[]): Wanted[] {
    for (const spec of specs) assertSpec(spec);
    return specs.flatMap((spec) =>
      selectObjects(spec, this.#world).flatMap((on) => {
        const paths = pathsFor(spec, on);
        return paths ? [{ on, paths }] : [];
      }),
    );
  }

  #page(wanted: readonly Wanted[], size: number): EncodedAnswer {
    const rest = wanted.slice(size);
    let token = '';
    if (rest.length > 0) {
      token = `token-${++this.#count}/${size}`;
      this.#pages.set(token, rest);
    }
    // What has gone between two pages is left out.
    const objects = wanted.slice(0, size).filter(({ on }) => this.#world.exists(on));
    const head = token === '' ? '' : encodeElement('token', 'string', token);
    return new EncodedAnswer(`<returnval>${head}${objects.map((one) => this.#content('objects', one)).join('')}</returnval>`);
  }

  #content(name: string, { on, paths }: Wanted): string {
    const { properties, missing } = readAll(this.#world, on, paths);
    return `<${name}>${encodeElement('obj', 'ManagedObjectReference', on)}${properties.map(({ xml }) => xml).join('')}${missing}</${name}>`;
  }
}

/** Of an object: each property that has a value, and why others may not be seen. */
export const readAll = (world: World, on: MoRef, paths: readonly string[]) => {
  const properties: { readonly name: string; readonly val: string; readonly xml: string }[] = [];
  let missing = '';
  const read = memoised(world.read);
  for (const path of paths) {
    const refusal = world.refuses(on, path);
    const property = refusal ? undefined : readProperty(read, on, path);
    if (refusal) missing += encodeElement('missingSet', 'MissingProperty', { path, fault: localized(refusal, on) });
    if (property) properties.push({ ...property, xml: `<propSet>${encodeElement('name', 'string', path)}${property.val}</propSet>` });
  }
  return { properties, missing };
};

/** Ten paths into `config` read it once. */
const memoised = (read: ReadProperty): ReadProperty => {
  const known = new Map<string, unknown>();
  return (on, property) => {
    if (!known.has(property)) known.set(property, read(on, property));
    return known.get(property);
  };
};
