import type { Variant } from './variant.ts';
import { manageVariants } from './variants-manage.ts';
import { sourceVariants } from './variants-source.ts';
import { targetVariants } from './variants-target.ts';

export const VARIANTS: readonly Variant[] = [...manageVariants, ...sourceVariants, ...targetVariants];
