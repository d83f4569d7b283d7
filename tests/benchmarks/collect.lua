-- Each request is one call of Segment's tracking protocol with ids of its own.
local size, key, thread_count = 1, "", 0

function setup(thread)
  thread:set("thread_number", thread_count)
  thread_count = thread_count + 1
end

function init(args)
  size, key = tonumber(args[1]), args[2]
  sent = 0
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Connection"] = "keep-alive"
end

local function message()
  sent = sent + 1
  return string.format(
    '{"type":"track","event":"Form Submitted","userId":"user-%d","messageId":"%d-%d",' ..
    '"timestamp":"2026-03-02T09:30:00.000Z","context":{"page":{"url":' ..
    '"https://example.com/pricing","path":"/pricing","referrer":"https://www.google.com/"},' ..
    '"campaign":{"name":"spring","source":"google","medium":"cpc"}},' ..
    '"properties":{"form":"demo","employees":120,"country":"DE"}%s}',
    sent % 997, thread_number, sent, size == 1 and ',"writeKey":"' .. key .. '"' or "")
end

function request()
  if size == 1 then
    return wrk.format("POST", "/v1/track", nil, message())
  end
  local messages = {}
  for n = 1, size do messages[n] = message() end
  local body = '{"batch":[' .. table.concat(messages, ",") ..
    '],"sentAt":"2026-03-02T09:30:00.000Z","writeKey":"' .. key .. '"}'
  return wrk.format("POST", "/v1/batch", nil, body)
end

function done(summary, latency, _)
  io.write(string.format(
    "RESULT {\"requests\": %d, \"duration_us\": %d, \"failed\": %d, \"p50_us\": %d, " ..
    "\"p90_us\": %d, \"p99_us\": %d, \"max_us\": %d}\n",
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
