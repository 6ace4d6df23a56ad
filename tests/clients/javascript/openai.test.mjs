// What a user of OpenAI's JavaScript library does, against the server at PUNA_URL with the built-in model in its store.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { PULL, WEATHER } from './asked.mjs'

const client = new OpenAI({ baseURL: `${process.env.PUNA_URL}/v1`, apiKey: 'unused', maxRetries: 0 })
const pico = { model: 'pico', temperature: 0, reasoning_effort: 'none' }
const asked = (content) => [{ role: 'user', content }]

test('a chat answers whole, with its usage', async () => {
  const answer = await client.chat.completions.create({ ...pico, messages: asked(PULL) })
  assert.match(answer.choices[0].message.content, /puna pull/)
  assert.equal(answer.choices[0].finish_reason, 'stop')
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
})

test('a chat streams the same text and its usage', async () => {
  const whole = await client.chat.completions.create({ ...pico, messages: asked(PULL) })
  const body = { ...pico, messages: asked(PULL), stream: true, stream_options: { include_usage: true } }
  const chunks = []
  for await (const chunk of await client.chat.completions.create(body)) chunks.push(chunk)
  assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), whole.choices[0].message.content)
  assert.deepEqual(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens)
})

test('the library runs tools by itself', async () => {
  const cities = []
  const weather = {
    ...WEATHER,
    function: { ...WEATHER.function, parse: JSON.parse, function: ({ city }) => (cities.push(city), 'Rain, 14 degrees') },
  }
  const body = { ...pico, messages: asked('What is the weather in Paris?'), tools: [weather], stream: true }
  const answer = await client.chat.completions.runTools(body).finalContent()
  assert.deepEqual(cities, ['Paris'])
  assert.match(answer, /Rain/)
})

test('an answer is parsed by a schema of zod', async () => {
  const response_format = zodResponseFormat(z.object({ verdict: z.enum(['yes', 'no']) }), 'verdict')
  const answer = await client.chat.completions.parse({ ...pico, messages: asked('Is Puna free?'), response_format })
  assert.ok(['yes', 'no'].includes(answer.choices[0].message.parsed.verdict))
})

test('a prompt is completed', async () => {
  const answer = await client.completions.create({ model: 'pico', temperature: 0, prompt: PULL, max_tokens: 5 })
  assert.equal(answer.choices[0].finish_reason, 'length')
  assert.equal(answer.usage.completion_tokens, 5)
})

test('a response answers whole and streams the same', async () => {
  const body = { model: 'pico', temperature: 0, input: PULL, reasoning: { effort: 'none' } }
  const whole = await client.responses.create(body)
  assert.equal(whole.status, 'completed')
  assert.match(whole.output_text, /puna pull/)
  const stream = client.responses.stream(body)
  const kinds = []
  for await (const event of stream) kinds.push(event.type)
  assert.equal(kinds[0], 'response.created')
  assert.equal(kinds.at(-1), 'response.completed')
  assert.equal((await stream.finalResponse()).output_text, whole.output_text)
})

test('embeddings are the same as numbers and as text', async () => {
  const text = await client.embeddings.create({ model: 'bert', input: ['cat', 'dog'] })
  const numbers = await client.embeddings.create({ model: 'bert', input: ['cat', 'dog'], encoding_format: 'float' })
  assert.equal(text.data.length, 2)
  text.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - numbers.data[1].embedding[i]) < 1e-6))
})

test('models are listed and found', async () => {
  const ids = []
  for await (const model of client.models.list()) ids.push(model.id)
  assert.ok(ids.includes('pico:latest'))
  assert.equal((await client.models.retrieve('pico')).owned_by, 'library')
})

test('a missing model is not found', async () => {
  const request = client.chat.completions.create({ model: 'nope', messages: asked('hi') })
  await assert.rejects(request, (error) => error instanceof OpenAI.NotFoundError && /model 'nope' not found/.test(error.message))
})

test('a stream can be left', async () => {
  const body = { ...pico, messages: asked(PULL), stream: true }
  const stream = await client.chat.completions.create(body)
  for await (const _ of stream) break  // which aborts the request
  assert.match((await client.chat.completions.create({ ...body, stream: false })).choices[0].message.content, /puna pull/)
})

test('the library keeps what a prompt lost, also where it puts a stream together', async () => {
  const history = [...asked('word '.repeat(2000)), { role: 'assistant', content: 'Yes.' }, ...asked(PULL)]
  const body = { ...pico, messages: history, max_tokens: 5, num_ctx: 256, truncate: true }
  const whole = (await client.chat.completions.create(body)).choices[0]
  const joined = (await client.chat.completions.stream(body).finalChatCompletion()).choices[0]
  for (const choice of [whole, joined]) {
    assert.equal(choice.truncated, true)
    assert.equal(choice.dropped_messages_count, 1)
    assert.ok(choice.prompt_original_count > 256 && choice.prompt_kept_count <= 256)
  }
})
