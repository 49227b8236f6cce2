import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MachineId, NicId, PlaceId, Session } from '../../../../core/contract/index.ts';
import { epochsAt } from '../../../../plugins/vmware/fence.ts';
import { networkFacet } from '../../../../plugins/vmware/network.ts';
import { callOf, codesOf, disk, errorOf, Ground, madeUp } from './ground.ts';

const production = async (session: Session): Promise<PlaceId> =>
  (await Array.fromAsync(session.inventory.listPlaces('network', callOf()))).find(({ name }) => name === 'production')!.id;
const left = (ground: Ground) => {
  const { switches, portGroups } = ground.estate.estate.endpoint('endpoint').vsphere!;
  return [...switches, ...portGroups].filter(({ name }) => name.startsWith('ws-'));
};
const died = (): never => {
  throw new Error('the process is gone');
};

describe('an isolated test network', () => {
  it('is on every host that has the network it stands for, without uplinks, and goes without a trace', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const place = await session.network!.createTestNetwork(await production(session), callOf({ operationId: 'same' }));
    const again = await session.network!.createTestNetwork(await production(session), callOf({ operationId: 'same' }));

    expect(again.id).to.equal(place.id);
    const { switches, portGroups } = ground.estate.estate.endpoint('endpoint').vsphere!;
    const own = switches.filter(({ name }) => name === place.name);
    expect(own.map(({ uplinks }) => uplinks)).to.deep.equal([[], []]);
    expect(portGroups.filter(({ name }) => name === place.name)).to.have.length(2);
    await session.network!.deleteTestNetwork(place.id, callOf());
    await session.network!.deleteTestNetwork(place.id, callOf());
    expect(left(ground)).to.deep.equal([]);
  });

  for (const [nth, method] of [
    [1, 'AddPortGroup'],
    [2, 'AddVirtualSwitch'],
    [2, 'AddPortGroup'],
  ] as const) {
    it(`is taken back from the other hosts when ${method} number ${nth} is refused`, async () => {
      await using ground = await Ground.create();
      const session = await ground.connect();
      await ground.fault({ method: `vim.${method}`, nth, act: { vimFault: 'HostConfigFault' } });

      const error = await errorOf(session.network!.createTestNetwork(await production(session), callOf()));

      expect(error.code).to.equal('STATE_CONFLICT');
      expect(left(ground)).to.deep.equal([]);
    });

    it(`is finished by a second attempt when the process dies before ${method} number ${nth}`, async () => {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const like = await production(session);
      const gone = new AbortController();
      let seen = 0;
      {
        using _ = ground.before(({ method: called }) => {
          if (called !== method || ++seen !== nth) return;
          gone.abort(new Error('the process is gone'));
          died();
        });
        await session.network!.createTestNetwork(like, callOf({ operationId: 'same', signal: gone.signal })).catch(() => undefined);
      }

      const place = await session.network!.createTestNetwork(like, callOf({ operationId: 'same' }));

      expect(left(ground)).to.have.length(4);
      await session.network!.deleteTestNetwork(place.id, callOf());
      expect(left(ground)).to.deep.equal([]);
    });
  }

  for (const nth of [1, 2, 3, 4]) {
    it(`leaves no switch behind when its removal is cut off at call ${nth} and done again`, async () => {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const place = await session.network!.createTestNetwork(await production(session), callOf());
      let seen = 0;
      {
        using _ = ground.before(({ method }) => {
          if (/^Remove(VirtualSwitch|PortGroup)$/.test(method) && ++seen === nth) died();
        });
        await session.network!.deleteTestNetwork(place.id, callOf()).catch(() => undefined);
      }

      await session.network!.deleteTestNetwork(place.id, callOf());

      expect(left(ground)).to.deep.equal([]);
    });
  }

  it('does without hosts that do not answer', async () => {
    const hosts = ['host-1', 'host-2'].map((value) => ({ type: 'HostSystem', value }));
    const asked: string[] = [];
    const host = (state: string, number: number) => ({
      'runtime.connectionState': state,
      'configManager.networkSystem': { type: 'HostNetworkSystem', value: `networkSystem-${number}` },
    });
    const note = (on: { value: string }) => void asked.push(on.value);
    const vcenter = madeUp(
      {
        'Network:network-1': { host: hosts, name: 'production' },
        'HostSystem:host-1': host('notResponding', 1),
        'HostSystem:host-2': host('connected', 2),
      },
      { AddVirtualSwitch: note, AddPortGroup: note, RemoveVirtualSwitch: note, RemovePortGroup: note },
    );

    await networkFacet(vcenter, epochsAt(vcenter))
      .createTestNetwork('Network:network-1' as PlaceId, callOf())
      .catch(() => undefined);

    expect(new Set(asked)).to.deep.equal(new Set(['networkSystem-2']));
  });

  it('of another installation, and a network of the site, are not removed', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const theirs = await ground.connect({}, 'installation-2');
    const place = await theirs.network!.createTestNetwork(await production(session), callOf());

    for (const id of [place.id, await production(session)])
      expect((await errorOf(session.network!.deleteTestNetwork(id, callOf()))).code).to.equal('PERMISSION_DENIED');
    expect(left(ground)).to.have.length(4);
  });
});

describe('the cable of a network card', () => {
  const machine = async (ground: Ground, session: Session) => (await ground.machine(session, 'web')).id;
  const cardOf = (ground: Ground, id: MachineId) => ground.record(id).devices.find(({ $type }) => $type === 'VirtualVmxnet3')!;
  const nic = (ground: Ground, id: MachineId) => `${id}/${cardOf(ground, id).key}` as NicId;

  it('is pulled on a network that has no place here as well', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const id = await machine(ground, session);
    const card = nic(ground, id);
    let edits = 0;
    using _ = ground.before(({ method }) => {
      if (method === 'ReconfigVM_Task') edits++;
    });
    ground.toOpaque(id);

    await session.network!.connectNic(id, card, 'disconnected', callOf()).catch(() => undefined);

    expect(edits).to.equal(1);
  });

  it('is plugged in again on a machine that runs, also where only the state of now is wrong', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const id = await machine(ground, session);
    const network = await production(session);
    const card = cardOf(ground, id);
    Object.assign(card, { connectable: { ...card.connectable, connected: false } });

    await session.network!.connectNic(id, nic(ground, id), network, callOf());

    expect(cardOf(ground, id).connectable).to.include({ connected: true, startConnected: true });
  });

  it('is not touched where it is as it should be', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const id = await machine(ground, session);
    const before = ground.count('ReconfigVM_Task');
    await session.network!.connectNic(id, nic(ground, id), await production(session), callOf());
    await session.network!.connectNic(id, nic(ground, id), 'disconnected', callOf());
    await session.network!.connectNic(id, nic(ground, id), 'disconnected', callOf());

    expect(ground.count('ReconfigVM_Task') - before).to.equal(1);
  });
});

describe('addresses in a guest', () => {
  const off = [{ name: 'web', disks: [disk()], nics: 2, power: 'off' as const, writesPerSecond: 0 }];

  it('are not set where the machine runs, and the operator is told so', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id, spec } = await ground.machine(session, 'web');

    const findings = await session.network!.setGuestAddresses(id, new Map([[spec.nics[0]!.id, { ipv4: '10.0.0.1/24' }]]), callOf());

    expect(codesOf(findings)).to.deep.equal(['ADDRESSES_NOT_KEPT']);
  });

  it('come with what else vSphere changes: cards without one, and a host name that it does not know', async () => {
    await using ground = await Ground.create({ machines: off });
    const session = await ground.connect();
    const { id, spec } = await ground.machine(session, 'web');

    const findings = await session.network!.setGuestAddresses(id, new Map([[spec.nics[0]!.id, { ipv4: '10.0.0.1/24' }]]), callOf());

    expect(codesOf(findings)).to.deep.equal(['HOST_IS_NAMED', 'NIC_USES_DHCP']);
    expect(ground.record(id).customization).to.deep.equal({ addresses: ['10.0.0.1'] });
  });

  it('are refused for a card that the machine does not have', async () => {
    await using ground = await Ground.create({ machines: off });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');

    const error = await errorOf(session.network!.setGuestAddresses(id, new Map([[`${id}/4999` as NicId, { dhcp: true }]]), callOf()));

    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.include('4999');
  });
});
