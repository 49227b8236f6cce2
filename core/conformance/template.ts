export type PluginKind = 'snapshot-source' | 'streaming-source' | 'target';
export interface RenderedFile {
  readonly path: string;
  readonly text: string;
}
export const renderPluginTemplate = (_kind: PluginKind, _id: string): RenderedFile[] => [];
