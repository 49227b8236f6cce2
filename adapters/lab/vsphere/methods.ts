// What a vCenter does about itself: sessions, looking, waiting. What it does about machines is in machine-handlers.ts.
import type { PlaceId } from '../../../core/contract/index.ts';
import type { MoRef, VimArgs, VimMethod, VimResult } from '../../vsphere/port.ts';
import type { Events } from './events.ts';
import { vimFault } from './fault-answers.ts';
import { exists, findByPath, findByUuid } from './inventory.ts';
import type { SessionRecord } from './model.ts';
import { notFound, sameRef, VM_FOLDER } from './objects.ts';
import { type At, folderRef } from './placement.ts';
import type { EncodedAnswer } from './retrieval.ts';
import { serviceContent } from './service.ts';
import type { SessionObjects } from './session-objects.ts';
import { describeSession, type Sessions } from './sessions.ts';
import type { Tasks } from './tasks.ts';

export interface OwnContext extends At {
  readonly session: SessionRecord | undefined;
  readonly userAgent: string;
  readonly signal: AbortSignal | undefined;
  readonly objects: SessionObjects;
  readonly sessions: Sessions;
  readonly tasks: Tasks;
  readonly events: Events;
  /** Throws NoPermission. */
  requirePrivilege(privilege: string, on: MoRef): void;
  /** The answer sets it. */
  setCookie(cookie: string): void;
  /** The answer is HTTP 503. */
  overload(): Error;
}

type OwnHandlers = {
  readonly [M in VimMethod]?: (
    context: OwnContext,
    on: MoRef,
    args: VimArgs<M>,
  ) => VimResult<M> | EncodedAnswer | undefined | Promise<VimResult<M> | EncodedAnswer | undefined>;
};

const session: OwnHandlers = {
  RetrieveServiceContent: ({ endpoint }) => serviceContent(endpoint),
  CurrentTime: ({ estate }) => estate.now(),
  Login: (context, _, args) => {
    if (context.session) throw vimFault('InvalidLogin');
    const opened = context.sessions.open(args, context.userAgent);
    if (!opened) throw context.overload();
    context.setCookie(opened.cookie);
    return describeSession(opened.session);
  },
  Logout: ({ sessions, session: own }) => {
    if (own) sessions.close(own.key);
    return undefined;
  },
  SessionIsActive: ({ sessions }, _, { sessionID, userName }) =>
    sessions.list().some(({ key, userName: name }) => key === sessionID && name === userName),
  HasPrivilegeOnEntities: (context, _, { entity, sessionId, privId = [] }) => {
    const { endpoint } = context;
    if (!context.sessions.list().some(({ key }) => key === sessionId)) throw vimFault('InvalidArgument', { invalidProperty: 'sessionId' });
    const missing = endpoint.vsphere?.missingPrivileges ?? [];
    return entity.map((one) => {
      if (!exists(context, one)) notFound(one);
      return { entity: one, privAvailability: privId.map((id) => ({ privId: id, isGranted: !missing.includes(id) })) };
    });
  },
};

const looking: OwnHandlers = {
  CreateContainerView: ({ objects }, _, args) => objects.createView(args),
  DestroyView: ({ objects }, on) => {
    objects.destroyView(on);
    return undefined;
  },
  RetrievePropertiesEx: ({ objects }, _, { specSet, options }) => objects.retrieval.start(specSet, options.maxObjects),
  RetrieveProperties: ({ objects }, _, { specSet }) => objects.retrieval.all(specSet),
  ContinueRetrievePropertiesEx: ({ objects }, _, { token }) => objects.retrieval.next(token),
  CancelRetrievePropertiesEx: ({ objects }, _, { token }) => {
    objects.retrieval.cancel(token);
    return undefined;
  },
  FindByUuid: (context, _, { uuid, vmSearch, instanceUuid }) =>
    (vmSearch ? findByUuid(context, uuid, instanceUuid ?? false)[0] : undefined) as MoRef,
  FindAllByUuid: (context, _, { uuid, vmSearch, instanceUuid }) => (vmSearch ? findByUuid(context, uuid, instanceUuid ?? false) : []),
  FindByInventoryPath: (context, _, { inventoryPath }) => findByPath(context, inventoryPath) as MoRef,
  QueryEvents: ({ events }, _, { filter }) => events.query(filter),
};

const waiting: OwnHandlers = {
  CreatePropertyCollector: ({ objects }) => objects.createCollector(),
  DestroyPropertyCollector: ({ objects }, on) => {
    objects.destroyCollector(on);
    return undefined;
  },
  CreateFilter: ({ objects }, on, args) => objects.createFilter(on, args),
  DestroyPropertyFilter: ({ objects }, on) => {
    objects.destroyFilter(on);
    return undefined;
  },
  WaitForUpdatesEx: ({ objects, signal }, on, { version, options }) => objects.collector(on).wait(version, options ?? {}, signal),
  CancelWaitForUpdates: ({ objects }, on) => {
    objects.collector(on).cancel();
    return undefined;
  },
  CancelTask: ({ tasks }, on) => {
    tasks.cancel(on);
    return undefined;
  },
};

const folders: OwnHandlers = {
  CreateFolder: (context, on, { name }) => {
    const { estate, endpoint } = context;
    const parent = endpoint.places.find((place) => place.kind === 'folder' && sameRef(folderRef(endpoint, place), on));
    if (!parent && !sameRef(on, VM_FOLDER)) throw vimFault('NotSupported');
    if (name === '' || name.length > 80) throw vimFault('InvalidName', { name });
    const taken = endpoint.places.find((place) => place.kind === 'folder' && place.parent === parent?.id && place.name === name);
    if (taken) throw vimFault('DuplicateName', { name, object: folderRef(endpoint, taken) });
    const place = { id: estate.nextId('group-v') as PlaceId, kind: 'folder' as const, name, ...(parent ? { parent: parent.id } : {}) };
    endpoint.places.push(place);
    estate.revision++;
    return folderRef(endpoint, place);
  },
};

export const ownHandlers: OwnHandlers = { ...session, ...looking, ...waiting, ...folders };
