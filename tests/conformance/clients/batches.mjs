// The life of a batch in both namespaces of the client that is installed in a directory. Prints JSON.
// Usage: node batches.mjs DIRECTORY BASE_URL API_KEY MODEL

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [directory, baseURL, apiKey, model] = process.argv.slice(2)
const require = createRequire(`${directory}/`)
const { default: Anthropic } = await import(pathToFileURL(require.resolve('@anthropic-ai/sdk')))
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 60000 })
const params = {
  model,
  max_tokens: 1024,
  messages: [{ role: 'user', content: 'Calculate.' }],
  tools: [{ type: 'code_execution_20250825', name: 'code_execution' }],
}

async function all(pages) {
  const found = []
  for await (const one of pages) found.push(one)
  return found
}

async function life(batches) {
  const made = await batches.create({ requests: [{ custom_id: 'only', params }] })
  let batch = made
  while (batch.processing_status !== 'ended') {
    await new Promise((resolve) => setTimeout(resolve, 100))
    batch = await batches.retrieve(made.id)
  }
  return {
    made,
    ended: batch,
    results: await all(await batches.results(made.id)),
    listed: (await all(await batches.list({ limit: 1 }))).map((one) => one.id),
    cancelled: await batches.cancel(made.id),
    deleted: await batches.delete(made.id),
  }
}

const lives = { plain: await life(client.messages.batches), beta: await life(client.beta.messages.batches) }
console.log(JSON.stringify({ version: null, lives }))
