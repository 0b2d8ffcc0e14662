"""The actions of the Domain API. Each has its own quota, and so its own rate."""

CREATE = "CreateIntlPhoneEmail"
SEND = "SendIntlPhoneEmailCode"
DESCRIBE = "DescribeIntlPhoneEmailList"
DELETE = "DeleteIntlPhoneEmail"
