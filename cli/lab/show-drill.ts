// The drill on a screen: a line for each stage, at the end what was measured.
import type { Cli } from '../cli.ts';
import { Printer } from '../output/print.ts';
import { bytesText, durationText, shorten, visible } from '../output/text.ts';
import { type Audience, type DrillOptions, runDrill } from './drill.ts';
import { type DrillReport, resultColumns } from './drill-report.ts';

const NAME_WIDTH = 28;

export const showDrill = async (cli: Cli, options: DrillOptions, json: boolean): Promise<boolean> => {
  const print = json ? new Printer(cli.at.screen, 'json') : cli.print;
  const report = await runDrill(options, audienceOf(cli, print), cli.signal);
  if (print.forPeople) showReport(print, report);
  else await print.one({ kind: 'Drill', data: report, name: report.verdict });
  return report.ok;
};

/** Stages are data for people, so they go to stdout; a program gets the report only, and the talk on stderr. */
const audienceOf = (cli: Cli, print: Printer): Audience => {
  const { screen } = cli.at;
  const live = screen.errIsTerminal && screen.outIsTerminal;
  let drawn = false;
  let stage = '';
  const erase = () => {
    if (drawn) screen.err('\r\u001b[K');
    drawn = false;
  };
  const draw = (text: string) => {
    if (!live) return;
    erase();
    screen.err(shorten(`${stage.padEnd(NAME_WIDTH)}  ${visible(text)}`, screen.columns - 1));
    drawn = true;
  };
  const line = (text: string) => {
    erase();
    if (print.forPeople) print.text(text);
    else print.say(text);
  };
  return {
    begin: (name) => {
      stage = name;
      draw('…');
    },
    update: draw,
    done: ({ name, seen, tookMs }) => line(`${name.padEnd(NAME_WIDTH)}  ${durationText(tookMs).padStart(7)}  ${seen}`),
    say: (text) => line(`${''.padEnd(NAME_WIDTH + 11)}${text}`),
  };
};

const showReport = (print: Printer, report: DrillReport): void => {
  print.text('');
  print.table(report.machines, resultColumns);
  for (const finding of report.ownDisk ?? []) print.text(`${finding.ok ? 'ok  ' : 'FAIL'}  ${finding.stage}: ${finding.seen}`);
  for (const left of report.leftovers) print.text(`left behind: ${left}`);
  const wrong = report.comparisons.filter((sighting) => !sighting.asRecorded || !sighting.consistent);
  for (const { stage, machine, point } of wrong) print.text(`DIFFERS  ${machine} in ${stage}, point ${point}`);
  const peak = Math.max(report.peakBytes.engine, report.peakBytes.lab);
  print.text(
    `\n${report.comparisons.length} copies compared with what their guests had written; saved: against whole copies for the same points`,
  );
  print.text(
    `${durationText(report.tookMs)}, at most ${bytesText(peak)} of memory in each of two processes${report.directory ? `; kept in ${report.directory}` : ''}`,
  );
  print.raw(print.paint(report.ok ? 'green' : 'red', report.verdict));
};
