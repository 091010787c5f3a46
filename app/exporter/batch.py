"""Questions -> broker: reads of any number of keys in one round trip.

They go as one script and an INFO: two commands of this client, however many queues there are. A script, because a
pipeline would carry the oldest message of each queue out of Redis, megabytes perhaps, to look at a time in it; and
because Redis runs it at one moment: a message that is taken meanwhile is seen once. EVAL is what KEDA asks with, too,
so its user can be the exporter's. Redis itself counts each command that a script runs, so that there
`total_commands_processed` grows by one for each question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import InvalidResponse, ResponseError

# Questions that are no commands. OLDEST: the `enqueued_at` of the message that waits longest in a list. DUE: the first
# ones of a sorted set of RedBeat's schedules with their times, without those that were due before a moment and are
# disabled; its words are that moment and how many.
OLDEST, DUE = "oldest", "due"
# Characters of that message's end in which it is looked for. Kombu writes the body before the headers.
TAIL = 16384

# KEYS[i] is the key of ARGV[i], a command's name and further words as JSON. What Redis refuses is the answer to that
# question alone. Texts are searched, because decoding a message of megabytes would hold everybody up; RedBeat writes
# whether a schedule is enabled at the end of its definition.
SCRIPT = f"""
local special = {{}}
function special.{OLDEST}(key)
  local message = redis.pcall('lindex', key, -1)
  if type(message) ~= 'string' then return message end
  return string.match(string.sub(message, -{TAIL}), '"enqueued_at": ?([%d.]+)') or ''
end
function special.{DUE}(key, now, limit)
  local found = redis.pcall('zrange', key, '0', '+inf', 'BYSCORE', 'LIMIT', '0', limit, 'WITHSCORES')
  if found.err then return found end
  local due = {{}}
  for i = 1, #found, 2 do
    local entry = tonumber(found[i + 1]) < tonumber(now) and redis.pcall('hget', found[i], 'definition')
    if type(entry) ~= 'string' or not string.find(string.sub(entry, -20), '"enabled": ?false}}$') then
      due[#due + 1] = found[i]
      due[#due + 1] = found[i + 1]
    end
  end
  return due
end
local answers = {{}}
for i, key in ipairs(KEYS) do
  local words = cjson.decode(ARGV[i])
  local ask = special[words[1]]
  if ask then
    answers[i] = ask(key, unpack(words, 2))
  else
    answers[i] = redis.pcall(words[1], key, unpack(words, 2))
  end
end
return answers
"""


class Question(NamedTuple):
    """A command that reads `key`, or OLDEST or DUE; `words` follow the key."""

    name: str
    key: str
    words: tuple[str, ...] = ()


class Answers:
    """The answers in the order of the questions.

    refused: what Redis said instead of those that nobody must have.
    """

    def __init__(self, answers: Iterable[Any]) -> None:
        self._left = iter(answers)
        self.refused: set[str] = set()

    def needed(self) -> Any:
        """Return the next answer. Raises ResponseError when Redis refused it."""
        answer = next(self._left)
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    def count(self) -> int:
        """Return the next answer, a number that must be there. Raises redis-py's errors when it isn't."""
        answer = self.needed()
        if not isinstance(answer, int):
            raise InvalidResponse(f"a number was asked for, and {answer!r:.50} is the answer")
        return answer

    def maybe(self) -> Any:
        """Return the next answer, or None when Redis refused it."""
        answer = next(self._left)
        if isinstance(answer, ResponseError):
            self.refused.add(str(answer))
            return None
        return answer


def ask(client: Redis, questions: Sequence[Question]) -> tuple[Answers, dict[str, Any]]:
    """Return the answers, and what INFO says of the server: nothing where Redis refuses that.

    Raises redis-py's errors.
    """
    keys = [question.key for question in questions]
    words = [json.dumps([question.name, *question.words]) for question in questions]
    pipe = client.pipeline(transaction=False)
    pipe.eval(SCRIPT, len(keys), *keys, *words)
    pipe.info()
    told, info = pipe.execute(raise_on_error=False)
    if isinstance(told, Exception):
        raise told
    if not isinstance(told, list) or len(told) != len(questions):
        raise InvalidResponse("it gives no answer to each question")
    answers = Answers(told)
    if isinstance(info, ResponseError):
        answers.refused.add(str(info))
    return answers, info if isinstance(info, dict) else {}
