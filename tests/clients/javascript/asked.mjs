// What both libraries ask the built-in model.

export const GREEDY = { temperature: 0 }
export const PULL = 'How do I pull a model?'
export const VERDICT = {
  type: 'object',
  properties: { verdict: { type: 'string', enum: ['yes', 'no'] } },
  required: ['verdict'],
}
const parameters = {
  type: 'object',
  properties: { city: { type: 'string', description: 'The name of the city' } },
  required: ['city'],
}
export const WEATHER = {
  type: 'function',
  function: { name: 'get_current_weather', description: 'Get the current weather for a city', parameters },
}
