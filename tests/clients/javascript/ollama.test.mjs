// What a user of Ollama's JavaScript library does, against the server at PUNA_URL with the built-in model in its store.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ollama } from 'ollama'
import { GREEDY, PULL, VERDICT, WEATHER } from './asked.mjs'

const ollama = new Ollama({ host: process.env.PUNA_URL })
const pico = { model: 'pico', think: false, options: GREEDY }
const asked = (content) => [{ role: 'user', content }]

test('generate answers whole', async () => {
  const answer = await ollama.generate({ ...pico, prompt: PULL })
  assert.match(answer.response, /puna pull/)
  assert.equal(answer.done_reason, 'stop')
  assert.ok(answer.eval_count > 3 && answer.total_duration > 0)
})

test('a chat streams what it answers whole', async () => {
  const whole = await ollama.chat({ ...pico, messages: asked(PULL) })
  const parts = []
  for await (const part of await ollama.chat({ ...pico, messages: asked(PULL), stream: true })) parts.push(part)
  assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content)
  assert.ok(parts.length > 3)
  assert.deepEqual(parts.map((part) => part.done), [...parts.slice(1).map(() => false), true])
})

test('thoughts stand beside the answer', async () => {
  const { message } = await ollama.chat({ ...pico, think: true, messages: asked(PULL) })
  assert.ok(message.thinking.length > 0)
  assert.match(message.content, /puna pull/)
})

test('a tool is called and its result used', async () => {
  const messages = asked('What is the weather in Paris?')
  const { message } = await ollama.chat({ ...pico, messages, tools: [WEATHER] })
  assert.deepEqual(message.tool_calls.map((call) => call.function.name), ['get_current_weather'])
  assert.deepEqual(message.tool_calls[0].function.arguments, { city: 'Paris' })
  messages.push(message, { role: 'tool', tool_name: 'get_current_weather', content: 'Rain, 14 degrees' })
  const second = await ollama.chat({ ...pico, messages, tools: [WEATHER] })
  assert.match(second.message.content, /Rain/)
})

test('a schema shapes the answer', async () => {
  const { message } = await ollama.chat({ ...pico, messages: asked('Is Puna free?'), format: VERDICT })
  assert.deepEqual(Object.keys(JSON.parse(message.content)), ['verdict'])
})

test('texts are embedded', async () => {
  const { embeddings } = await ollama.embed({ model: 'bert', input: ['cat', 'dog'] })
  assert.equal(embeddings.length, 2)
  for (const row of embeddings) assert.ok(Math.abs(Math.hypot(...row) - 1) < 1e-4)
})

test('models are made, listed, shown, copied, deleted', async () => {
  await ollama.create({ model: 'brief', from: 'pico', system: 'Be brief.', parameters: { num_predict: 3 } })
  await ollama.copy({ source: 'brief', destination: 'team/brief:1' })
  const names = (await ollama.list()).models.map((model) => model.name)
  assert.ok(['brief:latest', 'pico:latest', 'team/brief:1'].every((name) => names.includes(name)))
  const shown = await ollama.show({ model: 'team/brief:1' })
  assert.match(shown.modelfile, /SYSTEM Be brief\./)
  assert.ok(shown.capabilities.includes('tools'))
  for (const model of ['brief', 'team/brief:1']) assert.equal((await ollama.delete({ model })).status, 'success')
  await assert.rejects(ollama.show({ model: 'brief' }), { status_code: 404, message: "model 'brief:latest' not found" })
})

test('creating tells its progress', async () => {
  const seen = []
  for await (const part of await ollama.create({ model: 'seen', from: 'pico', stream: true })) seen.push(part.status)
  assert.deepEqual(seen.slice(-2), ['writing manifest', 'success'])
  await ollama.delete({ model: 'seen' })
})

test('a loaded model is listed until it is unloaded', async () => {
  const loaded = async () => (await ollama.ps()).models.map((model) => model.name)
  await ollama.generate({ model: 'pico', prompt: '', keep_alive: '10m' })
  assert.ok((await loaded()).includes('pico:latest'))
  await ollama.generate({ model: 'pico', prompt: '', keep_alive: 0 })
  assert.ok(!(await loaded()).includes('pico:latest'))
})

test('a stream can be aborted', async () => {
  const endless = { num_predict: 10_000, logit_bias: [[2, -100]] } // pico's end of a turn, never said
  const stream = await ollama.chat({ ...pico, messages: asked(PULL), stream: true, options: endless })
  await assert.rejects(async () => { for await (const _ of stream) stream.abort() }, { name: 'AbortError' })
  assert.match((await ollama.generate({ ...pico, prompt: PULL })).response, /puna pull/)
})

test('the version is told', async () => assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+/))
