"""Words that name runs: easy to read aloud, to remember and to type."""

ADJECTIVES = (
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "copper", "coral", "crisp", "dapper",
    "eager", "early", "fair", "fleet", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest",
    "humble", "ivory", "jolly", "keen", "kind", "light", "lively", "lucky", "mellow", "merry", "mild", "neat", "noble",
    "olive", "patient", "plain", "polite", "proud", "quick", "quiet", "rapid", "ready", "rosy", "royal", "silver",
    "sleek", "smart", "snug", "solid", "spry", "steady", "sturdy", "sunny", "swift", "tidy", "vivid", "warm", "wise",
)  # fmt: skip
ANIMALS = (
    "badger", "bear", "beaver", "bison", "cat", "crane", "crow", "deer", "dolphin", "dove", "duck", "eagle", "egret",
    "falcon", "ferret", "finch", "fox", "gecko", "goose", "hare", "hawk", "heron", "horse", "ibex", "jay", "kite",
    "koala", "lark", "lemur", "lion", "llama", "lynx", "magpie", "marten", "mole", "moose", "newt", "orca", "otter",
    "owl", "panda", "pigeon", "pony", "puffin", "quail", "rabbit", "raven", "robin", "salmon", "seal", "sparrow",
    "squid", "stork", "swan", "tern", "thrush", "toad", "trout", "turtle", "vole", "whale", "wolf", "wren", "yak",
)  # fmt: skip
