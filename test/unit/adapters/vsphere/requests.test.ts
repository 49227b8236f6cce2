import { expect } from 'chai';
import fc from 'fast-check';
import { it } from 'mocha';
import { encodeRequest, typed } from '../../../../adapters/vsphere/vim25/encode.ts';
import type { VirtualMachineConfigSpec } from '../../../../adapters/vsphere/vim25/types.ts';
import { requestArbitrary } from './arbitrary.ts';
import { eachClient, MACHINE, rejection, SERVICE, shared } from './clients.ts';
import { child, type Element, escaped, HostileServer, parse, type Request } from './hostile-server.ts';

/** What counts of an element: neither prefixes nor white space between elements. */
const essence = ({ name, space, xsiType, attributes, children, text }: Element): object => ({
  ...{ name, space, xsiType, attributes, text: children.length > 0 ? '' : text },
  children: children.map(essence),
});
const names = ({ children }: Element): string[] => children.map(({ name }) => name);

eachClient('a request to the server', (openClient, client) => {
  const at = shared(openClient, () => HostileServer.start());
  const reconfigure = async (spec: VirtualMachineConfigSpec): Promise<Element> => {
    let seen: Request | undefined;
    at.server.on('ReconfigVM_Task', (request) => {
      seen = request;
      return '<returnval type="Task">task-1</returnval>';
    });
    await at.client.call('ReconfigVM_Task', MACHINE, { spec });
    return child(seen!.body, 'spec');
  };

  it('has its fields in the order of the schema, whatever order they are given in', async () => {
    let seen: Request | undefined;
    at.server.on('QueryChangedDiskAreas', (request) => {
      seen = request;
      return '<returnval><startOffset>0</startOffset><length>0</length></returnval>';
    });

    const snapshot = { type: 'VirtualMachineSnapshot', value: 'snapshot-12' };
    await at.client.call('QueryChangedDiskAreas', MACHINE, { changeId: '52 8e/14', startOffset: 5, snapshot, deviceKey: 2000 });

    expect(names(seen!.body)).to.deep.equal(['_this', 'snapshot', 'deviceKey', 'startOffset', 'changeId']);
    expect(child(seen!.body, '_this')).to.deep.include({ text: 'vm-101', attributes: { type: 'VirtualMachine' } });
    expect(child(seen!.body, 'snapshot')).to.deep.include({ text: 'snapshot-12', attributes: { type: 'VirtualMachineSnapshot' } });
    expect(seen!.body.space).to.equal('urn:vim25');
  });

  it('has the fields of bases first and says the type of a value that is of a more special one than declared', async () => {
    const backing = typed('VirtualDiskFlatVer2BackingInfo', { thinProvisioned: true, diskMode: 'persistent', fileName: '[ds] a.vmdk' });
    const device = typed('VirtualDisk', { capacityInKB: 2 ** 40, backing, unitNumber: 0, controllerKey: 1000, key: -1 });

    const spec = await reconfigure({ deviceChange: [{ device, operation: 'add' }] });

    const sent = child(spec, 'deviceChange', 'device');
    expect(names(child(spec, 'deviceChange'))).to.deep.equal(['operation', 'device']);
    expect(sent.xsiType).to.equal('VirtualDisk');
    expect(names(sent)).to.deep.equal(['key', 'backing', 'controllerKey', 'unitNumber', 'capacityInKB']);
    expect(child(sent, 'capacityInKB').text).to.equal('1099511627776');
    expect(child(sent, 'backing').xsiType).to.equal('VirtualDiskFlatVer2BackingInfo');
    expect(names(child(sent, 'backing'))).to.deep.equal(['fileName', 'diskMode', 'thinProvisioned']);
    expect(child(spec, 'deviceChange').xsiType).to.equal(undefined);
  });

  it('says the type of each value where anything may stand', async () => {
    const values = [
      'text',
      '',
      true,
      5,
      2 ** 40,
      2n ** 60n,
      0.5,
      MACHINE,
      ['a', 'b'],
      [MACHINE],
      typed('OptionValue', { key: 'k', value: 1 }),
    ];

    const spec = await reconfigure({ extraConfig: values.map((value, key) => ({ key: String(key), value })) });

    expect(spec.children.map((option) => child(option, 'value').xsiType)).to.deep.equal(
      'string string boolean int long long double ManagedObjectReference ArrayOfString ArrayOfManagedObjectReference OptionValue'.split(
        ' ',
      ),
    );
    expect(child(spec.children[9]!, 'value', 'ManagedObjectReference')).to.deep.include({
      text: 'vm-101',
      attributes: { type: 'VirtualMachine' },
    });
  });

  it('leaves out what is undefined, and sends false, zero, empty texts and empty objects', async () => {
    const spec = await reconfigure({ name: undefined, annotation: '', numCPUs: 0, memoryHotAddEnabled: false, files: {}, extraConfig: [] });

    expect(spec.children.map(({ name, text }) => [name, text])).to.deep.equal(
      Object.entries({ files: '', annotation: '', numCPUs: '0', memoryHotAddEnabled: 'false' }).sort(
        ([a], [b]) => names(spec).indexOf(a) - names(spec).indexOf(b),
      ),
    );
    expect(spec.children).to.have.lengthOf(4);
  });

  it('is refused before it is sent for a field or type that the schema does not have, and for one that is missing', async () => {
    const before = at.server.requests.length;
    const refuse = async (spec: object, path: string): Promise<void> => {
      const error = await rejection(at.client.call('ReconfigVM_Task', MACHINE, { spec: spec as VirtualMachineConfigSpec }));
      expect(error).to.have.property('code', 'INTERNAL');
      expect((error as Error).message).to.include(path);
    };

    expect(await rejection(at.client.call('FormatAllDisks' as 'CurrentTime', MACHINE, {}))).to.have.property('code', 'INTERNAL');
    await refuse({ nmae: 'x' }, 'ReconfigVM_Task.spec.nmae');
    await refuse({ deviceChange: [{ device: { $type: 'VirtualDsik', key: 1 } }] }, 'VirtualDsik');
    await refuse({ deviceChange: [{ operation: 'add' }] }, 'device');
    await refuse({ extraConfig: [{ key: 'k', value: { $type: 'NoSuchType' } }] }, 'NoSuchType');

    expect(at.server.requests).to.have.lengthOf(before);
  });

  for (const character of ['\u0000', '\u0007', '\u001b', '\ufffe', '\ud800']) {
    it(`is refused for U+${character.charCodeAt(0).toString(16)} in a text, by the name of the field`, async () => {
      const error = await rejection(reconfigure({ files: { vmPathName: `[ds] a${character}b` } }));

      expect(error).to.have.property('code', 'CONFIG_INVALID');
      expect((error as Error).message).to.include('ReconfigVM_Task.spec.files.vmPathName');
    });
  }

  it('carries 10,000 hostile names there, and their answer carries them back', async function () {
    this.timeout(60_000);
    const hostile = hostileNames(10_000);
    let sent: readonly string[] = [];
    at.server.on('FindAllByUuid', ({ body }) => {
      const name = child(body, 'uuid').text;
      return `<returnval type="VirtualMachine">${escaped(name)}</returnval>`;
    });
    at.server.on('ReconfigVM_Task', ({ body }) => {
      sent = child(body, 'spec').children.map((option) => child(option, 'value').text);
      return '<returnval type="Task">task-1</returnval>';
    });
    at.server.on('HasPrivilegeOnEntities', () =>
      sent.map((name) => `<returnval><entity type="Folder">${escaped(name)}</entity></returnval>`).join(''),
    );

    // One by one for each kind, then all in one call: what breaks one name must not hide among many.
    for (const uuid of hostile.slice(0, 60))
      expect(await at.client.call('FindAllByUuid', SERVICE, { uuid, vmSearch: true })).to.deep.equal([
        { type: 'VirtualMachine', value: uuid },
      ]);
    await at.client.call('ReconfigVM_Task', MACHINE, { spec: { extraConfig: hostile.map((value) => ({ key: 'k', value })) } });
    const answer = await at.client.call('HasPrivilegeOnEntities', SERVICE, { entity: [], sessionId: '' });

    expect(sent).to.deep.equal(hostile);
    expect(answer.map(({ entity }) => entity.value)).to.deep.equal(hostile);
  });

  if (client === 'node-vsphere-soap') {
    it('says the same as one of our own client, for whatever is asked', async function () {
      this.timeout(60_000);
      let seen: Request | undefined;
      await fc.assert(
        fc.asyncProperty(requestArbitrary, async ([method, on, args]) => {
          at.server.on(method, (request) => {
            seen = request;
            return { fault: '<MethodFault xsi:type="MethodFault"/>' };
          });

          await rejection(at.client.call(method, on, args as never));

          const ours = parse(encodeRequest(method, on, args));
          expect(essence(seen!.body)).to.deep.equal(essence(child(ours, 'Body').children[0]!));
        }),
        { numRuns: 300 },
      );
    });
  }
});

const KINDS: readonly ((at: number) => string)[] = [
  (at) => `<b>&amp; "quotes" 'and' > ${at}`,
  (at) => `]]>${at}`,
  (at) => `<![CDATA[${at}]]>`,
  (at) => `<![CDATA[]]><evil>${at}</evil><![CDATA[]]>`,
  (at) => `&lt;&#x41;&nope;&${at};`,
  (at) => `"; Remove-VM * # ${at}`,
  (at) => `$(reboot) \`reboot\` %0a ${at}`,
  (at) => `../../x/${at}%2f\\`,
  (at) => `😀🏳️‍🌈 ${String.fromCodePoint(0x1f300 + (at % 200))}`,
  (at) => ` \t${at}\r\n `,
  (at) => 'ä'.repeat(296) + String(at).padStart(4, '0').slice(-4),
  (at) => `__proto__ constructor ${at}`,
  (at) => `\u202e\u0300\u200b${at}\ufffd`,
];

const hostileNames = (count: number): string[] => Array.from({ length: count }, (_, at) => KINDS[at % KINDS.length]!(at));
