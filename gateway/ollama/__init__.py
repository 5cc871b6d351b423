"""Ollama's API in front of engines that speak OpenAI's: pure functions each way, and what only the gateway knows."""
