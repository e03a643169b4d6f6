"""The last gate before hardware: what may be written, judged once per cycle on figures of its own."""
