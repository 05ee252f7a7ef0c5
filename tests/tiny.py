"""Descriptions of real learners that are small enough for tests."""

TINY = """
name: tiny
ecosystem:
  entities: [{name: a, private: facts}, {name: b, private: math}]
  beta: 0.5
learner:
  kind: language
  base:
    scratch:
      config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2}
      vocabulary: 300
      steps: 3
      length: 32
  training:
    {steps: null, initial_steps: null, batch_size: 8, gradient_accumulation: 1, learning_rate: 0.01, max_length: 160}
  generation: {max_new_tokens: 8, max_prompt_tokens: 24}
  threads: 1
tasks:
  facts: {source: facts, train: 40, validation: 4, test: 6}
  math: {source: math, train: 40, validation: 4, test: 6}
public: {source: math, seed: 1, train: 40, validation: 4, test: 6}
n: 64
generations: 2
metrics: {loss: {}, completion_loss: {}, accuracy: {}, similarity: {}, distinct: {}, projection: {}}
grid:
  ecosystem.alpha: [0, 0.5]
"""

ADAPTED = TINY.replace("kind: language\n", "kind: language\n  adapter: {rank: 2, alpha: 4}\n")
"""The same models, of which adapters alone are trained."""

UNEQUAL = TINY.replace(
    "private: math}",
    "private: math, learner: {base: {scratch: {config: {hidden_size: 24}, vocabulary: 280}}, training: {steps: 5}}}",
)
"""Two language models of other sizes and tokenizers, which read other numbers of examples."""

LINEAR = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q}]
  alpha: 0.5
  beta: 0.5
learner: {kind: linear}
tasks:
  p: {source: regression, dimension: 3, rows: 12, rank: 2, entity: 0, truth: [2, -1, 3], replicates: 4}
  q: {source: regression, dimension: 3, rows: 10, rank: 2, entity: 1, truth: [-2, 1, 2], replicates: 4}
public: {source: regression, dimension: 3, rows: 15, truth: [1, 2, -1], replicates: 4}
generations: 2
metrics: {loss: {}, similarity: {}, projection: {}}
"""

GLM = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q}]
  alpha: 0.5
  beta: 0.5
learner: {kind: glm, family: FAMILY}
tasks:
  p: {source: regression, dimension: 2, rows: 60, entity: 0, truth: [1, -0.5], replicates: 4, family: FAMILY}
  q: {source: regression, dimension: 2, rows: 60, entity: 1, truth: [-0.5, 1], replicates: 4, family: FAMILY}
public: {source: regression, dimension: 2, rows: 60, truth: [0.3, 0.2], replicates: 4, family: FAMILY}
generations: 2
metrics: {loss: {}, similarity: {}, projection: {}}
"""

CATEGORICAL = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q}]
  alpha: 0.5
  beta: 0.5
learner: {kind: categorical, prior: 0.5}
tasks:
  p: {source: categorical, probabilities: [5, 2, 2, 1], train: 60, test: 20, replicates: 3}
  q: {source: categorical, probabilities: [1, 1, 3, 6], train: 60, test: 20, replicates: 3}
public: {source: categorical, uniform: 4, train: 60, test: 20, replicates: 3}
n: 40
generations: 2
metrics: {loss: {}, similarity: {}, projection: {}, heterozygosity: {}, surviving_symbols: {}, total_variation: {}}
"""

NGRAM = """
ecosystem:
  entities: [{name: a, private: facts}, {name: b, private: math}]
  alpha: 0.5
  beta: 0.5
learner: {kind: ngram, order: 2, prior: 20, max_length: 30}
tasks:
  facts: {source: facts, train: 40, validation: 4, test: 6}
  math: {source: math, train: 40, validation: 4, test: 6}
public: {source: math, seed: 1, train: 40, validation: 4, test: 6}
n: 64
generations: 2
metrics: {loss: {}, completion_loss: {}, perplexity: {}, bits_per_byte: {}, unseen_ngrams: {}, similarity: {}}
"""
