"""Text analysis by Amazon Comprehend: sentiment, entities, key phrases."""
