"""The workflows: the only way anything happens. They return data and print nothing."""
