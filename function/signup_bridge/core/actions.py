"""The actions of the Domain API. Each has a quota of its own, and so a pace."""

CREATE = "CreateIntlPhoneEmail"
SEND = "SendIntlPhoneEmailCode"
DESCRIBE = "DescribeIntlPhoneEmailList"
DELETE = "DeleteIntlPhoneEmail"
