// What node-powershell starts in the lab instead of PowerShell: `node stand-in.mjs SOCKET [any arguments of pwsh]`. It reads the same lines and answers
// on the same ones, but a simulated host runs the requests. No TypeScript and few imports: it starts as often as a real session would, only faster.
import { connect } from 'node:net';

const [, , socketPath] = process.argv;
const { WARMSITE_PS_USERNAME: username, WARMSITE_PS_PASSWORD: password } = process.env;

// Real hosts say something, too, before anybody has asked: PowerShell 7 writes the sequence into a pipe under some values of TERM.
process.stdout.write('\u001b[?1hPowerShell of the lab\r\n');

const socket = connect(socketPath);
const waiting = new Map();
let count = 0;
let received = Buffer.alloc(0);

const end = (code) => process.stdout.write('', () => process.exit(code));

socket.on('error', (error) => process.stderr.write(`the lab does not answer: ${error.message}\n`));
socket.on('close', () => end(1));
socket.on('data', (chunk) => {
  received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
  for (;;) {
    if (received.length < 8) return;
    const headerBytes = received.readUInt32LE(0);
    const wholeBytes = 8 + headerBytes + received.readUInt32LE(4);
    if (received.length < wholeBytes) return;
    const answer = JSON.parse(received.subarray(8, 8 + headerBytes).toString());
    received = received.subarray(wholeBytes);
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  }
});

/** Resolves with the lab's answer; the end of the connection ends the process. */
const call = (method, args) =>
  new Promise((resolve) => {
    const id = ++count;
    waiting.set(id, resolve);
    const header = Buffer.from(JSON.stringify({ id, method, args, tail: false }));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(header.length, 0);
    socket.write(Buffer.concat([lengths, header]));
  });

const decode = (text) => JSON.parse(Buffer.from(text, 'base64').toString());
const reply = (id, content) => process.stdout.write(`DRX1 ${id} ${Buffer.from(JSON.stringify(content)).toString('base64')}\n`);

/** New-PSSession about a host to which no session can be opened (PowerShell 5.1 and 7). */
const notOpened = ({ code, message }) => ({
  ok: false,
  error: {
    step: -1,
    category: 'OpenError',
    fqid: `${code === 'AUTH_REJECTED' ? 'LogonFailure' : 'CannotConnect'},PSSessionOpenFailed`,
    message,
    type: 'System.Management.Automation.Remoting.PSRemotingTransportException',
    hresult: -2146233087,
    innerHresult: -2146233087,
    target: '',
  },
});

const connectHost = async ({ id, computerName }) => {
  const { error } = await call('powershell.open', { host: computerName, username, password });
  reply(id, error ? notOpened(error) : { ok: true, steps: [] });
};

const run = async (request) => {
  const { result, error } = await call('powershell.run', { request });
  if (result) reply(request.id, result.reply);
  else {
    process.stderr.write(`${error.message}\n`);
    end(1);
  }
};

const IGNORED = /^(try \{ )?(Import-Module|Import-DrAllowList)\b/;
const LINE = /^(Connect-DrHost|Invoke-DrRequest) '([A-Za-z0-9+/=]+)'$/;

const take = (line) => {
  if (line === '' || IGNORED.test(line)) return undefined;
  const [, command, text] = LINE.exec(line) ?? [];
  if (command === 'Connect-DrHost') return connectHost(decode(text));
  if (command === 'Invoke-DrRequest') return run(decode(text));
  return process.stderr.write(`The term '${line.split(' ', 1)[0].slice(0, 100)}' is not recognized as a name of a cmdlet.\n`);
};

// One line after the other, as a shell does.
let turn = Promise.resolve();
let pending = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
  const lines = (pending + chunk).split('\n');
  pending = lines.pop();
  for (const line of lines) turn = turn.then(() => take(line.replace(/\r$/, '')));
});
process.stdin.on('end', () => turn.then(() => end(0)));
