import { expect } from 'chai';
import { it } from 'mocha';
import { eachClient, MACHINE, rejection, SERVICE, shared } from './clients.ts';
import { answered, envelope, escaped, HostileServer } from './hostile-server.ts';

const COLLECTOR = { type: 'PropertyCollector', value: 'propertyCollector' };

eachClient('an answer of the server', (openClient, name) => {
  const at = shared(openClient, () => HostileServer.start());
  /** The value of one property, which may be anything. */
  const readProperty = async (val: string): Promise<unknown> => {
    const propSet = `<propSet><name>p</name>${val}</propSet>`;
    at.server.on('RetrievePropertiesEx', () => `<returnval><objects><obj type="VirtualMachine">vm-1</obj>${propSet}</objects></returnval>`);
    const { objects } = await at.client.call('RetrievePropertiesEx', COLLECTOR, { specSet: [], options: {} });
    return objects[0]?.propSet?.[0]?.val;
  };
  const readChanges = async (inner: string): Promise<unknown> => {
    at.server.on('QueryChangedDiskAreas', () => `<returnval>${inner}</returnval>`);
    return await at.client.call('QueryChangedDiskAreas', MACHINE, { deviceKey: 2000, startOffset: 0, changeId: '*' });
  };

  const VALUES: readonly [string, string, unknown][] = [
    ['a number', '<val xsi:type="xsd:int">-5</val>', -5],
    ['a long that a number holds', '<val xsi:type="xsd:long">9007199254740991</val>', 9007199254740991],
    ['a long beyond that as a bigint', '<val xsi:type="xsd:long">9007199254740993</val>', 9007199254740993n],
    ['a boolean in words', '<val xsi:type="xsd:boolean">true</val>', true],
    ['a boolean in digits', '<val xsi:type="xsd:boolean">0</val>', false],
    ['a double, and infinity', '<val xsi:type="xsd:double">-INF</val>', Number.NEGATIVE_INFINITY],
    ['a text that looks like a number', '<val xsi:type="xsd:string">007</val>', '007'],
    ['an attribute called type of another name space', '<val xsi:type="xsd:string" xmlns:o="urn:other" o:type="xsd:int">5</val>', '5'],
    ['an empty text', '<val xsi:type="xsd:string"></val>', ''],
    ['white space, as it is', '<val xsi:type="xsd:string"> a\n b&#13;&#9; </val>', ' a\n b\r\t '],
    ['CDATA beside text', '<val xsi:type="xsd:string">a<![CDATA[<b>&amp;]]>c</val>', 'a<b>&amp;c'],
    ['comments and instructions, left out', '<val xsi:type="xsd:string">a<!-- b --><?c d?>e</val>', 'ae'],
    ['a reference', '<val type="HostSystem" xsi:type="ManagedObjectReference">host-1</val>', { type: 'HostSystem', value: 'host-1' }],
    ['a list of one as a list', '<val xsi:type="ArrayOfString"><string>a</string></val>', ['a']],
    ['an empty list', '<val xsi:type="ArrayOfVirtualDevice"/>', []],
    ['a list of numbers', '<val xsi:type="ArrayOfInt"><int>1</int><int>2</int></val>', [1, 2]],
    ['an enumeration', '<val xsi:type="VirtualMachinePowerState">poweredOn</val>', 'poweredOn'],
    ['a simple type newer than the schema, as text', '<val xsi:type="MoodOfTheMachine">cheerful</val>', 'cheerful'],
    ['nothing, where it says so', '<val xsi:type="xsd:string" xsi:nil="true"/>', undefined],
    [
      'other prefixes, resolved',
      '<v:val xmlns:v="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:s="http://www.w3.org/2001/XMLSchema" i:type="s:int">7</v:val>',
      7,
    ],
    [
      'a type newer than the schema with lists in it, by what it holds',
      '<val xsi:type="BrandNewInfo"><a>1</a><b><c>x</c></b><a>2</a></val>',
      { $type: 'BrandNewInfo', a: ['1', '2'], b: { c: 'x' } },
    ],
    [
      'a known type with a field that the schema does not have',
      '<val xsi:type="OptionValue"><key>k</key><mood>good</mood><value xsi:type="xsd:int">1</value></val>',
      { $type: 'OptionValue', key: 'k', mood: 'good', value: 1 },
    ],
  ];
  for (const [what, val, expected] of VALUES) {
    it(`may hold ${what}`, async () => {
      expect(await readProperty(val)).to.deep.equal(expected);
    });
  }

  const inherited = '<val xsi:type="New"><__proto__><x>1</x></__proto__><constructor>c</constructor></val>';
  if (name === 'vim25') {
    it('may hold names that mean something to JavaScript', async () => {
      expect(await readProperty(inherited)).to.deep.equal({ $type: 'New', constructor: 'c' });
    });
  } else {
    it('is refused with an element called constructor, on which the package throws, and the next one is read', async () => {
      expect(await rejection(readProperty(inherited))).to.deep.include({
        code: 'PROTOCOL_ERROR',
        hint: 'choose the client vim25 for this endpoint',
      });
      expect(await readProperty('<val xsi:type="xsd:int">1</val>')).to.equal(1);
    });
  }

  it('gives lists by the schema, whether they have no element, one or two, and leaves out what is missing', async () => {
    const area = '<changedArea><start>0</start><length>65536</length></changedArea>';

    expect(await readChanges('<startOffset>0</startOffset><length>1</length>')).to.deep.equal({ startOffset: 0, length: 1 });
    expect(await readChanges(`<startOffset>0</startOffset><length>1</length>${area}`)).to.deep.equal({
      ...{ startOffset: 0, length: 1, changedArea: [{ start: 0, length: 65536 }] },
    });
    expect(await readChanges(`${area}<length>1</length>${area}`))
      .to.have.property('changedArea')
      .with.lengthOf(2);
  });

  it('is an empty list where a method that gives one has nothing to give', async () => {
    at.server.on('FindAllByUuid', () => '');

    expect(await at.client.call('FindAllByUuid', SERVICE, { uuid: 'u', vmSearch: true })).to.deep.equal([]);
  });

  it('is undefined where a method gives nothing', async () => {
    at.server.on('ShutdownGuest', () => '');

    expect(await at.client.call('ShutdownGuest', MACHINE, {})).to.equal(undefined);
  });

  it('may be a tree of snapshots as deep as vSphere allows', async () => {
    const tree = (level: number): string => {
      const below = level === 32 ? '' : `<childSnapshotList>${tree(level + 1)}</childSnapshotList>`;
      return `<snapshot type="VirtualMachineSnapshot">snapshot-${level}</snapshot><name>${level}</name>${below}`;
    };

    let node = await readProperty(
      `<val xsi:type="ArrayOfVirtualMachineSnapshotTree"><VirtualMachineSnapshotTree>${tree(1)}</VirtualMachineSnapshotTree></val>`,
    );

    for (let level = 1; level <= 32; level++) {
      const [only] = node as { readonly snapshot: object; readonly childSnapshotList: unknown }[];
      expect(only!.snapshot).to.deep.equal({ type: 'VirtualMachineSnapshot', value: `snapshot-${level}` });
      node = only!.childSnapshotList;
    }
    expect(node).to.equal(undefined);
  });

  it('may come in any pieces, characters cut in two among them', async () => {
    const text = 'ä😀€ & <zwölf>'.repeat(20);
    at.server.on('CurrentTime', () => ({ whole: answered('CurrentTime', `<returnval>${escaped(text)}</returnval>`), chunkBytes: 1 }));

    expect(await at.client.call('CurrentTime', SERVICE, {})).to.equal(text);
  });

  it('may have an envelope with a default name space and a header', async () => {
    const whole =
      '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header/><Body><ns1:CurrentTimeResponse xmlns:ns1="urn:vim25"><ns1:returnval>now</ns1:returnval></ns1:CurrentTimeResponse></Body></Envelope>';
    at.server.on('CurrentTime', () => ({ whole }));

    expect(await at.client.call('CurrentTime', SERVICE, {})).to.equal('now');
  });

  it('may be 20 MB', async function () {
    this.timeout(60_000);
    const areas = Array.from(
      { length: 280_000 },
      (_, at) => `<changedArea><start>${at * 65536}</start><length>65536</length></changedArea>`,
    );
    const inner = `<startOffset>0</startOffset><length>1</length>${areas.join('')}`;
    expect(inner.length).to.be.above(20e6);

    const { changedArea } = (await readChanges(inner)) as { readonly changedArea: readonly object[] };

    expect(changedArea).to.have.lengthOf(280_000);
    expect(changedArea.at(-1)).to.deep.equal({ start: 279_999 * 65536, length: 65536 });
  });

  const entity = (definitions: string) => `<?xml version="1.0"?><!DOCTYPE lolz [${definitions}]>`;
  const bomb = Array.from({ length: 20 }, (_, at) => `<!ENTITY e${at + 1} "${`&e${at};`.repeat(20)}">`).join('');
  const body = (text: string) => answered('CurrentTime', `<returnval>${text}</returnval>`).replace(/<\?xml[^>]*>\n/, '');
  const REFUSED: readonly [string, string][] = [
    ['a document type', `<!DOCTYPE html>${body('x')}`],
    ['entities within entities', `${entity(`<!ENTITY e0 "lol">${bomb}`)}${body('&e20;')}`],
    ['an entity that is a file', `${entity('<!ENTITY e0 SYSTEM "file:///etc/passwd">')}${body('&e0;')}`],
    ['an entity that nobody has defined', body('&nbsp;')],
    [
      'more levels than any answer has',
      envelope(`<CurrentTimeResponse xmlns="urn:vim25">${'<a>'.repeat(5_000)}${'</a>'.repeat(5_000)}</CurrentTimeResponse>`),
    ],
    ['the answer to another call', answered('PowerOffVM_Task', '<returnval type="Task">task-1</returnval>')],
    ['elements that do not close', body('x').replace('</returnval>', '</other>')],
    ['a second answer', body('x').replace('</soapenv:Body>', '<CurrentTimeResponse/></soapenv:Body>')],
    ['an element after its end', `${body('x')}<more/>`],
  ];
  for (const [what, whole] of REFUSED) {
    it(`is refused with ${what}`, async () => {
      at.server.on('CurrentTime', () => ({ whole }));

      expect(await rejection(at.client.call('CurrentTime', SERVICE, {}))).to.have.property('code', 'PROTOCOL_ERROR');
    });
  }

  for (const [type, text] of [
    ['int', 'five'],
    ['int', '1.5'],
    ['long', '0x10'],
    ['long', ''],
    ['double', 'many'],
  ]) {
    it(`is refused with ${JSON.stringify(text)} for a ${type}, by the name of the field`, async () => {
      const error = await rejection(readProperty(`<val xsi:type="xsd:${type}">${text}</val>`));

      expect(error).to.have.property('code', 'PROTOCOL_ERROR');
      expect((error as Error).message).to.include(`val is no ${type}`);
    });
  }
});
