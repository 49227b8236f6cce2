/** Of the agent's program: a test holds it to package.json, which the program is not shipped with. */
export const AGENT_VERSION = '0.1.0';
