"""Judging: asking a language model what a completion is worth."""

from concord.rewards.judging.answer_cache import AnswerCache
from concord.rewards.judging.chat_answer import ChatAnswer
from concord.rewards.judging.llm_judge import LLMJudge
from concord.rewards.judging.verdict import NoVerdict, Verdict

__all__ = ["AnswerCache", "ChatAnswer", "LLMJudge", "NoVerdict", "Verdict"]
