"""The actions of the Domain API. Each has a quota of its own, and so a pace."""

CREATE = "CreateIntlPhoneEmail"
DESCRIBE = "DescribeIntlPhoneEmailList"
DELETE = "DeleteIntlPhoneEmail"
