export { type Case, LEVELS, type Level, NEEDS, type Need } from './case.ts';
export { CASES } from './cases.ts';
export { type CaseResult, ConformanceRun, type Report, runConformance, type Selection, selectCases } from './kit.ts';
export { bindConformance, type Runner } from './mocha.ts';
export { formatReport, PARAGRAPHS } from './report.ts';
export { type ConformanceLab, DEFAULT_SCALE, type Scale, type Scratch, type Subject } from './subject.ts';
export { nextSteps, type PluginKind, type RenderedFile, renderPluginTemplate } from './template.ts';
