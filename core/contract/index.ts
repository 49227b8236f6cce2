export * from './capabilities.ts';
export * from './define-plugin.ts';
export * from './errors.ts';
export * from './methods.ts';
export * from './model.ts';
export * from './native-pair.ts';
export * from './plugin.ts';
