// Names as vCenter keeps them. It writes %, / and \ as %25, %2f and %5c, and lets a client escape any other character likewise (vSphere API reference, ManagedEntity.name).

/** vCenter takes no longer name of a machine, port group or folder. */
const MOST_CHARACTERS = 80;

/** As a person writes it. */
export const fromVcenter = (name: string): string =>
  name.replace(/%(25|2f|5c|0[0-9a-f]|1[0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** What no request can carry: lone surrogates and two code points that are no characters. */
const NO_XML = /^[\ud800-\udfff\ufffe\uffff]$/;

const escapeName = (name: string): string => {
  let out = '';
  for (const character of name) {
    const code = character.codePointAt(0) ?? 0;
    const special = character === '%' || character === '/' || character === '\\' || code < 0x20;
    out += special ? `%${code.toString(16).padStart(2, '0')}` : NO_XML.test(character) ? '\ufffd' : character;
  }
  return out;
};

/** As vCenter takes it: escaped, at most 80 characters, never cut within an escape or a character. */
export const toVcenter = (name: string, suffix = ''): string => {
  const tail = escapeName(suffix);
  let out = '';
  for (const character of name) {
    const next = escapeName(character);
    if (out.length + next.length + tail.length > MOST_CHARACTERS) break;
    out += next;
  }
  return (out.trim() === '' ? 'machine' : out) + tail;
};
