// The balance of each account, and a mail when it falls below zero. It talks to
// Recount in NDJSON: docs/worker-protocol.md.
const lines = require('node:readline').createInterface({ input: process.stdin })
const say = (message) => process.stdout.write(JSON.stringify(message) + '\n')

const columns = [
  { name: 'account', type: 'string' },
  { name: 'balance', type: 'int64' }, // in cents
  { name: 'last', type: 'timestamp' },
]
let account, balance, last

lines.on('line', (line) => {
  const m = JSON.parse(line)
  if ('recount' in m) {
    say({ recount: 1, format: 'ndjson', columns, reads: ['cents', 'time'], effects: true })
  } else if ('begin' in m) {
    [account, balance, last] = [m.key.account, 0, null]
  } else if ('event' in m) {
    const before = balance
    balance += m.event.cents
    last = m.event.time
    if (before >= 0 && balance < 0) say({ effect: { kind: 'overdrawn', key: account, payload: { balance } }, seq: m.seq })
  } else {
    say({ row: { account, balance, last } })
    say('show' in m ? { shown: m.show } : { done: m.end })
  }
})
