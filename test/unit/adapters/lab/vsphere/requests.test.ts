import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createEstate } from '../../../../../adapters/lab/in-process.ts';
import { vcenterSpec } from './vcenter-bench.ts';

const ENVELOPE =
  'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:x="http://www.w3.org/2001/XMLSchema"';

interface Said {
  readonly status: number;
  readonly text: string;
  /** Of the fault. */
  readonly type: string;
  readonly faultstring: string;
}

/** A client that says exactly what the test has written, in prefixes of its own. */
class RawClient implements AsyncDisposable {
  readonly #lab = createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [vcenterSpec()] }] }, seed: 7 });
  #cookie = '';

  static async open(): Promise<RawClient> {
    const client = new RawClient();
    await client.say(
      '<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>warmsite</userName><password>secret</password></Login>',
    );
    return client;
  }

  get machine(): string {
    return [...this.#lab.estate.machines.values()].find(({ name }) => name === 'shop-db')!.id;
  }

  say(call: string): Promise<Said> {
    return this.send(`<?xml version="1.0"?><e:Envelope ${ENVELOPE}><e:Header/><e:Body>${call}</e:Body></e:Envelope>`);
  }

  async send(body: string): Promise<Said> {
    const wire = this.#lab.openWire({ address: 'vcenter-a', username: '', password: '' });
    const answer = await wire.send({ method: 'POST', url: '/sdk', headers: { cookie: this.#cookie }, body });
    this.#cookie = answer.setCookies[0]?.split(';', 1)[0] ?? this.#cookie;
    const parts: Uint8Array[] = [];
    for await (const part of answer.body) parts.push(part);
    const text = Buffer.concat(parts).toString();
    const [, type = ''] = /<detail><\w+Fault xmlns="urn:vim25" xsi:type="(\w+)"/.exec(text) ?? [];
    const [, faultstring = ''] = /<faultstring>([\s\S]*?)<\/faultstring>/.exec(text) ?? [];
    return { status: answer.status, text, type, faultstring };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

const reconfigure = (spec: string): ((machine: string) => string) => {
  return (machine) =>
    `<ReconfigVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">${machine}</_this><spec>${spec}</spec></ReconfigVM_Task>`;
};

const query = (parameters: string) => (machine: string) =>
  `<v:QueryChangedDiskAreas xmlns:v="urn:vim25"><v:_this type="VirtualMachine">${machine}</v:_this>${parameters}</v:QueryChangedDiskAreas>`;

const properties =
  (objectSet: string, path = 'name') =>
  () =>
    `<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet><propSet><type>Folder</type><pathSet>${path}</pathSet></propSet>${objectSet}</specSet><options/></RetrievePropertiesEx>`;

const REFUSED: readonly (readonly [title: string, call: (machine: string) => string, type: string, says: string])[] = [
  [
    'a parameter that comes too late, with the misleading words of a vCenter',
    query(
      '<v:deviceKey>2000</v:deviceKey><v:startOffset>0</v:startOffset><v:snapshot type="VirtualMachineSnapshot">snapshot-1</v:snapshot><v:changeId>*</v:changeId>',
    ),
    'InvalidRequest',
    'Required parameter changeId is missing',
  ],
  [
    'a parameter after the last one that may come, as if that were missing',
    query(
      '<v:deviceKey>2000</v:deviceKey><v:startOffset>0</v:startOffset><v:changeId>*</v:changeId><v:snapshot type="VirtualMachineSnapshot">snapshot-1</v:snapshot>',
    ),
    'InvalidRequest',
    'Required parameter changeId is missing',
  ],
  [
    'fields of an object in another order',
    reconfigure('<name>a</name><changeVersion>1</changeVersion>'),
    'InvalidRequest',
    'Required property name is missing from data object of type VirtualMachineConfigSpec',
  ],
  ['an element that the schema does not have', reconfigure('<nmae>a</nmae>'), 'InvalidRequest', 'Unexpected element tag "nmae" seen'],
  ['a second value where there is one', reconfigure('<name>a</name><name>b</name>'), 'InvalidRequest', 'Required property name'],
  [
    'a missing parameter',
    query('<v:deviceKey>2000</v:deviceKey><v:startOffset>0</v:startOffset>'),
    'InvalidRequest',
    'Required parameter changeId is missing',
  ],
  ['a word for a number', reconfigure('<numCPUs>two</numCPUs>'), 'InvalidRequest', 'Unable to parse "two" as a value of type int'],
  ['a number that does not fit', reconfigure('<numCPUs>3000000000</numCPUs>'), 'InvalidRequest', 'type int'],
  ['a number below all that fit', reconfigure('<numCPUs>-3000000000</numCPUs>'), 'InvalidRequest', 'type int'],
  ['a boolean in other words', reconfigure('<changeTrackingEnabled>yes</changeTrackingEnabled>'), 'InvalidRequest', 'type boolean'],
  [
    'a value that an enumeration does not have',
    reconfigure('<deviceChange><operation>attach</operation><device i:type="VirtualDisk"><key>1</key></device></deviceChange>'),
    'InvalidRequest',
    'VirtualDeviceConfigSpecOperation',
  ],
  [
    'a device that does not say what it is',
    reconfigure('<deviceChange><operation>add</operation><device><key>1</key></device></deviceChange>'),
    'InvalidType',
    'VirtualDevice',
  ],
  [
    'an object of a type that is no kind of the declared one',
    reconfigure(
      '<deviceChange><operation>add</operation><device i:type="OptionValue"><key>a</key><value i:type="x:string">b</value></device></deviceChange>',
    ),
    'InvalidType',
    'not a subtype of VirtualDevice',
  ],
  [
    'a value of any type without its type',
    reconfigure('<extraConfig><key>a</key><value>b</value></extraConfig>'),
    'InvalidType',
    'anyType',
  ],
  [
    'a reference without its type',
    query('<v:snapshot>snapshot-1</v:snapshot><v:deviceKey>2000</v:deviceKey><v:startOffset>0</v:startOffset><v:changeId>*</v:changeId>'),
    'InvalidRequest',
    'snapshot-1',
  ],
  ['a call on nothing', () => '<CurrentTime xmlns="urn:vim25"/>', 'InvalidRequest', 'Required parameter _this is missing'],
  [
    'a call on an object of another kind',
    () => '<CurrentTime xmlns="urn:vim25"><_this type="Folder">group-d1</_this></CurrentTime>',
    'MethodNotFound',
    'CurrentTime',
  ],
  [
    'a call on an object that is not there',
    () => '<DestroyView xmlns="urn:vim25"><_this type="ContainerView">none</_this></DestroyView>',
    'ManagedObjectNotFound',
    'none',
  ],
  [
    'a method that there is not',
    () => '<PowerUp xmlns="urn:vim25"><_this type="VirtualMachine">vm-1</_this></PowerUp>',
    'InvalidRequest',
    'PowerUp',
  ],
  [
    'a method of another namespace',
    () => '<CurrentTime xmlns="urn:vim26"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>',
    'InvalidRequest',
    'urn:vim26',
  ],
  [
    'a property that objects of the type do not have',
    properties('<objectSet><obj type="Folder">group-d1</obj></objectSet>', 'size'),
    'InvalidProperty',
    '<name>size</name>',
  ],
  [
    'a traversal by a name that nobody has',
    properties('<objectSet><obj type="Folder">group-d1</obj><selectSet><name>none</name></selectSet></objectSet>'),
    'InvalidArgument',
    'A specified parameter was not correct: specSet.objectSet.selectSet',
  ],
  [
    'a traversal without its type',
    properties(
      '<objectSet><obj type="Folder">group-d1</obj><selectSet><type>Folder</type><path>childEntity</path></selectSet></objectSet>',
    ),
    'InvalidRequest',
    'Unexpected element tag "type" seen',
  ],
];

describe('a request to a simulated vCenter', () => {
  for (const [title, call, type, says] of REFUSED) {
    it(`is refused for ${title}`, async () => {
      await using client = await RawClient.open();

      const said = await client.say(call(client.machine));

      expect([said.status, said.type]).to.deep.equal([500, type]);
      expect(said.text).to.contain(says);
    });
  }

  it('says where in the request it went wrong, as a vCenter does', async () => {
    await using client = await RawClient.open();

    const { faultstring } = await client.say(reconfigure('<extraConfig><value i:type="x:string">b</value></extraConfig>')(client.machine));

    expect(faultstring).to.match(
      /^Required property key is missing from data object of type OptionValue\n\nwhile parsing serialized DataObject of type OptionValue\nat line 1, column \d+\n\nwhile parsing property "extraConfig"/,
    );
    expect(faultstring).to.contain('while parsing call information for method ReconfigVM_Task');
  });

  it('is refused when it is no well-formed envelope, or brings a document type', async () => {
    await using client = await RawClient.open();
    const call = '<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>';
    const bad = [
      '',
      'nonsense',
      `<e:Envelope ${ENVELOPE}><e:Body>${call}</e:Envelope>`,
      `<!DOCTYPE a [<!ENTITY b "c">]><e:Envelope ${ENVELOPE}><e:Body>${call}</e:Body></e:Envelope>`,
      `<e:Envelope ${ENVELOPE}><e:Body>${call}${call}</e:Body></e:Envelope>`,
      `<Envelope><Body>${call}</Body></Envelope>`,
    ];

    const said = await Promise.all(bad.map((body) => client.send(body)));

    expect(said.map(({ status, type }) => `${status} ${type}`)).to.deep.equal(bad.map(() => '500 InvalidRequest'));
  });

  it('is understood in any prefixes, with entities, CDATA and an untyped service instance', async () => {
    await using client = await RawClient.open();

    const time = await client.say('<v:CurrentTime xmlns:v="urn:vim25"><v:_this>ServiceInstance</v:_this></v:CurrentTime>');
    const folder = await client.say(
      '<CreateFolder xmlns="urn:vim25"><_this type="Folder">group-v3</_this><name><![CDATA[a<b]]>&amp;&#x63;</name></CreateFolder>',
    );
    const read = await client.say(
      properties(
        '<objectSet><obj type="Folder">group-v3</obj><skip>1</skip><selectSet i:type="TraversalSpec"><type>Folder</type><path>childEntity</path></selectSet></objectSet>',
      )(),
    );

    expect([time.status, folder.status]).to.deep.equal([200, 200]);
    expect(read.text).to.contain('>a&lt;b&amp;c<');
  });
});
