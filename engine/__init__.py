"""Pure core: the condition language, the facts, the strategies, the stages, and how one decision is made."""
