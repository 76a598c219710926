// How a client program is asked; see protocol.py. `serve(version, examples)` answers until stdin ends.
import { createInterface } from 'node:readline';

export const QUESTION = 'Calculate the mean of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]';
export const TABLE = 'month,sum\nmay,3\njune,4\n';
export const WEATHER = 'sunny, 21 degrees';

export async function serve(version, examples) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { example, ...options } = JSON.parse(line);
    let answer;
    try {
      answer = { version, result: await examples[example](options) };
    } catch (error) {
      answer = { version, error: `${error?.stack ?? error}\n${JSON.stringify(error?.cause ?? null)}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
