"""Why a decision was what it was, in sentences: worked out from what is remembered, by whoever is asked, never in a cycle."""
