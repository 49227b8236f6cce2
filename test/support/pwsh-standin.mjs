#!/usr/bin/env node
// In the place of PowerShell: takes lines as it would, and behaves as WARMSITE_STANDIN tells it to, which is how real ones misbehave.
import { createInterface } from 'node:readline';

const how = process.env.WARMSITE_STANDIN ?? '';
const say = (text) => process.stdout.write(text);
const reply = (id, content) => `DRX1 ${id} ${Buffer.from(JSON.stringify(content)).toString('base64')}\n`;
const done = {
  ok: true,
  steps: [{ rows: [{ Pid: process.pid, Args: process.argv.slice(2), Env: { ...process.env } }], count: 1, warnings: [], errors: [] }],
};
let count = 0;

if (how === 'noise') say('Windows PowerShell\r\n\u001b[?1hCopyright\r\nDRX1 not a reply\r\nDRX1 999 e30=\r\n');
if (how === 'exits at once') process.exit(3);

createInterface({ input: process.stdin }).on('line', (line) => {
  const [, verb, text] = /^(Invoke-DrRequest|Connect-DrHost) '([A-Za-z0-9+/=]+)'$/.exec(line) ?? [];
  if (!verb) {
    if (how === 'no module') {
      process.stderr.write('The specified module was not loaded\n');
      process.exit(70);
    }
    return;
  }
  const asked = JSON.parse(Buffer.from(text, 'base64').toString());
  const first = ++count === 1;
  if (verb === 'Connect-DrHost' && how === 'refuses')
    return say(
      reply(asked.id, {
        ok: false,
        error: {
          step: -1,
          category: 'OpenError',
          fqid: 'AccessDenied,PSSessionOpenFailed',
          message: 'no',
          type: 'x',
          hresult: 0,
          innerHresult: -2147024891,
          target: '',
        },
      }),
    );
  if (how === 'split') return splitReply(asked.id);
  if (first && how !== 'silent from the start') return say(reply(asked.id, { ok: true, steps: [] }));
  if (how === 'exits with 0') process.exit(0);
  if (how === 'is killed') return process.kill(process.pid, 'SIGKILL');
  if (how === 'hangs' || how === 'silent from the start') return;
  if (how === 'half a line') return say('DRX1 2 eyJ');
  if (how === 'no JSON') return say(`DRX1 ${asked.id} ${Buffer.from('nonsense').toString('base64')}\n`);
  if (how === 'not ours') return say(reply(asked.id, { fine: true }));
  if (how === 'endless') return void setInterval(() => say('x'.repeat(1 << 20)), 1);
  if (how === 'noise') say('WARNING: something\r\n');
  if (how === 'large')
    return say(reply(asked.id, { ok: true, steps: [{ rows: [{ Text: 'y'.repeat(8 << 20) }], count: 1, warnings: [], errors: [] }] }));
  if (how === 'echo')
    return say(
      reply(asked.id, { ok: true, steps: asked.steps.map((step) => ({ rows: [step.params], count: 1, warnings: [], errors: [] })) }),
    );
  say(reply(asked.id, done));
});

function splitReply(id) {
  const line = reply(id, done).replace('\n', '\r\n');
  for (const character of line) process.stdout.write(character);
  return true;
}
