"""The privacy page of a report: what attacks found, in words, with verdicts and advice by stated rules."""
